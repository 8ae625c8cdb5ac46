package api

import (
	"errors"
	"reflect"
	"slices"

	"greenroom/db"
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
		rule[keyInput]("name", k.Name), rule[keyInput]("scopes", k.Scopes), rule[keyInput]("allowedIPs", k.AllowedIPs),
		rule[keyInput]("ratePerMinute", k.RatePerMinute), rule[keyInput]("ratePerHour", k.RatePerHour),
		rule[keyPatch]("suspendedReason", reason),
	)
}

// CheckCompany refuses a company with a name that the API would refuse; its error is one sentence.
func CheckCompany(c *db.Company) error { return firstRefusal(rule[companyInput]("name", c.Name)) }

// CheckWebhook refuses a webhook with a name or URL of a length that the API would refuse; its error is one sentence.
func CheckWebhook(w *db.Webhook) error {
	return firstRefusal(rule[webhookInput]("name", w.Name), rule[webhookInput]("url", w.URL))
}

// rule applies what T's tags say of a field to a value.
func rule[T any](name string, value any) error {
	fields := fieldsOf(reflect.TypeFor[T]())
	i := slices.IndexFunc(fields, func(f field) bool { return f.name == name })
	return check(reflect.ValueOf(value), fields[i], name)
}

func firstRefusal(errs ...error) error {
	for _, err := range errs {
		var refused *apiError
		if errors.As(err, &refused) {
			return errors.New(refused.Message)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
