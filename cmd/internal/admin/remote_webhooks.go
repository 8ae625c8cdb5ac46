package admin

import (
	"context"
	"net/http"
	"strconv"

	"github.com/google/uuid"

	"greenroom/api/client"
)

// remoteWebhook is a webhook as the API shows it. What it shows in another form than the commands is read apart.
type remoteWebhook struct {
	WebhookDetail
	Headers []struct{ Name string } `json:"headers"`
	Auth    *struct{}               `json:"auth"`
}

func (r remoteWebhook) shown() WebhookDetail {
	w := r.WebhookDetail
	w.State = webhookState(w.CircuitOpenedAt, w.IsActive)
	w.HasAuth = r.Auth != nil
	w.Headers = []string{}
	for _, h := range r.Headers {
		w.Headers = append(w.Headers, h.Name)
	}
	if string(w.Filter) == "null" {
		w.Filter = nil
	}
	return w
}

func shownWebhook(r remoteWebhook, err error) (Webhook, error) { return r.shown().Webhook, err }

// remoteWebhooks is ListWebhooks through the API: those that receive the events of a company, or all that the key sees.
func (a *Admin) remoteWebhooks(ctx context.Context, company *uuid.UUID) ([]Webhook, error) {
	found, err := listed(ctx, 0, place{}, func(w *remoteWebhook) bool {
		source := w.sourceCompany()
		return company == nil || source != nil && *source == *company
	}, func(at place) (*http.Response, error) {
		return a.api.ListWebhooks(ctx, &client.ListWebhooksParams{Page: &at.number, Limit: &at.size})
	})
	if err != nil {
		return nil, err
	}
	list := make([]Webhook, len(found))
	for i := range found {
		list[i] = found[i].shown().Webhook
	}
	return list, nil
}

// remoteCreateWebhook is CreateWebhook through the API. Without a company, the API decides by the key.
func (a *Admin) remoteCreateWebhook(ctx context.Context, r WebhookRequest) (Webhook, error) {
	if r.Platform || r.Company != "" {
		if err := r.check(); err != nil {
			return Webhook{}, err
		}
	}
	company, err := a.companyID(ctx, r.Company)
	if err != nil {
		return Webhook{}, err
	}
	return shownWebhook(answered[remoteWebhook](a.api.CreateWebhook(ctx, nil, client.WebhookInput{
		CompanyID: company, Profile: &r.Profile, URL: r.URL, Name: &r.Name, Events: remoteEvents(r.Events),
	})))
}

// remoteEvents are names or numbers of events as the API takes them.
func remoteEvents(given []string) []client.EventRef {
	refs := client.Events(given...)
	for i, text := range given {
		if number, err := strconv.Atoi(text); err == nil {
			_ = refs[i].FromEventRef0(number) // a number can be encoded
		}
	}
	return refs
}

// remoteUpdateWebhook is UpdateWebhook through the API.
func (a *Admin) remoteUpdateWebhook(ctx context.Context, id uuid.UUID, change WebhookChange) (WebhookDetail, error) {
	body := map[string]any{}
	set(body, "url", change.URL)
	set(body, "name", change.Name)
	set(body, "description", change.Description)
	set(body, "rateLimit", change.RateLimit)
	set(body, "isActive", change.Active)
	set(body, "circuitRecovery", change.CircuitRecovery)
	set(body, "notifyEmail", change.NotifyEmail)
	set(body, "ordering", change.Ordering)
	set(body, "orderingOnFailure", change.OrderingOnFailure)
	for _, name := range []string{"circuitRecovery", "notifyEmail", "ordering"} {
		if body[name] == "" {
			body[name] = nil
		}
	}
	if change.Events != nil {
		body["events"] = remoteEvents(*change.Events)
	}
	w, err := answered[remoteWebhook](a.api.UpdateWebhookWithBody(ctx, id.String(), jsonType, jsonBody(body)))
	return w.shown(), err
}

func set[T any](body map[string]any, name string, value *T) {
	if value != nil {
		body[name] = *value
	}
}

// remoteDeleteWebhook is DeleteWebhook through the API.
func (a *Admin) remoteDeleteWebhook(ctx context.Context, id uuid.UUID) (Webhook, error) {
	w, err := shownWebhook(answered[remoteWebhook](a.api.GetWebhook(ctx, id.String())))
	if err != nil {
		return w, err
	}
	err = done(a.api.DeleteWebhook(ctx, id.String()))
	w.State = "deleted"
	return w, err
}
