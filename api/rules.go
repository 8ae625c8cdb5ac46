package api

import (
	"errors"

	"greenroom/api/surface"
	"greenroom/db"
	"greenroom/db/delivery"
)

// The rules of sizes stand in the tags of the request types. What makes rows without a request, such as the operator's
// commands, asks here, so that there is no row that the API would not have taken.

// CheckKey refuses a key with a name, list, limit or reason that the API would refuse; its error is one sentence.
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

// CheckCompany refuses a company with a name that the API would refuse; its error is one sentence.
func CheckCompany(c *db.Company) error {
	return firstRefusal(surface.Rule[companyInput]("name", c.Name))
}

// CheckWebhook refuses a webhook with a name or URL of a length that the API would refuse; its error is one sentence.
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
