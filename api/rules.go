package api

import (
	"errors"

	"greenroom/api/surface"
	"greenroom/db"
	"greenroom/db/delivery"
)

// Limits of lengths and sizes are in the tags of the request types. Commands that create rows without a request call
// these functions, so that they refuse what the API would refuse.

// CheckKey refuses a key whose name, lists, limits or reason the API would refuse. The error is one sentence.
func CheckKey(k *db.APIKey) error {
	reason := ""
	if k.SuspendedReason != nil {
		reason = *k.SuspendedReason
	}
	return firstRefusal(
		surface.Rule[keyInput](
			"name",
			k.Name,
		),
		surface.Rule[keyInput]("scopes", k.Scopes),
		surface.Rule[keyInput]("allowedIPs", k.AllowedIPs),
		surface.Rule[keyInput]("ratePerMinute", k.RatePerMinute),
		surface.Rule[keyInput]("ratePerHour", k.RatePerHour),
		surface.Rule[keyPatch]("suspendedReason", reason),
	)
}

// CheckCompany refuses a company whose name the API would refuse. The error is one sentence.
func CheckCompany(c *db.Company) error {
	return firstRefusal(surface.Rule[companyInput]("name", c.Name))
}

// CheckWebhook refuses a webhook whose name or URL has a length that the API would refuse. The error is one sentence.
func CheckWebhook(w *delivery.Webhook) error {
	return firstRefusal(surface.Rule[webhookInput]("name", w.Name), surface.Rule[webhookInput]("url", w.URL))
}

func firstRefusal(errs ...error) error {
	for _, err := range errs {
		var refused *surface.Error
		if errors.As(err, &refused) {
			return errors.New(refused.Message)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
