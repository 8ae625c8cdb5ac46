package admin

import (
	"context"

	"greenroom/activities/webhook"
	"greenroom/activities/webhook/profiles"
	"greenroom/db"
	"greenroom/db/delivery"
)

// Choice is a value that the shell proposes for an argument or a flag.
type Choice struct{ Value, Description string }

// Choices reads the choices from the database or the API.
type Choices = func(*Admin, context.Context) ([]Choice, error)

// mostChoices bounds the choices of a list that grows.
const mostChoices = 50

// Statuses returns the states of deliveries.
func Statuses() []string { return texts(delivery.Statuses()) }

// Scopes returns the permissions that a key can have.
func Scopes() []string { return texts(db.Scopes()) }

// EventNames returns the names of a profile's events, or of all event types for an unknown one.
func EventNames(profile string) []string {
	if p, err := profiles.ByName(profile); err == nil && profile != "" {
		return p.Names()
	}
	var names []string
	for _, t := range profiles.Types() {
		names = append(names, t.Name)
	}
	return names
}

func texts[T ~string](values []T) []string {
	all := make([]string, len(values))
	for i, v := range values {
		all[i] = string(v)
	}
	return all
}

// WebhookChoices are the ids of all webhooks.
func (a *Admin) WebhookChoices(ctx context.Context) ([]Choice, error) {
	hooks, err := a.ListWebhooks(ctx, "")
	return choices(hooks, func(w Webhook) Choice {
		return Choice{w.ID.String(), w.Name + " " + webhook.Host(w.URL) + " " + w.State}
	}), err
}

// DeliveryChoices are the ids of the newest deliveries.
func (a *Admin) DeliveryChoices(ctx context.Context) ([]Choice, error) {
	list, err := a.ListDeliveries(ctx, DeliveryQuery{Limit: mostChoices})
	return choices(list, func(d Delivery) Choice {
		return Choice{d.ID.String(), d.EventType + " " + string(d.Status)}
	}), err
}

// EventChoices are the ids of the newest events.
func (a *Admin) EventChoices(ctx context.Context) ([]Choice, error) {
	list, err := a.ListEvents(ctx, EventQuery{Limit: mostChoices})
	return choices(list, func(e Event) Choice { return Choice{e.ID.String(), e.Type + " " + cell(e.OccurredAt)} }), err
}

// InterviewChoices are the ids of the newest interviews.
func (a *Admin) InterviewChoices(ctx context.Context) ([]Choice, error) {
	list, err := a.ListInterviews(ctx, InterviewQuery{Limit: mostChoices})
	return choices(list, func(i Interview) Choice {
		return Choice{i.ID.String(), string(i.Status) + " " + cell(i.ScheduledAt)}
	}), err
}

// ReplayChoices are the ids of the newest replays.
func (a *Admin) ReplayChoices(ctx context.Context) ([]Choice, error) {
	list, err := a.ListReplays(ctx, ID{}, mostChoices)
	return choices(list, func(r Replay) Choice {
		return Choice{r.ID.String(), string(r.State) + " " + cell(r.CreatedAt)}
	}), err
}

// KeyChoices are the ids of the newest keys.
func (a *Admin) KeyChoices(ctx context.Context) ([]Choice, error) {
	list, err := a.ListKeys(ctx, "", mostChoices)
	return choices(list, func(k Key) Choice {
		return Choice{k.ID.String(), k.Prefix + "… " + k.Name + " " + keyState(k.State)}
	}), err
}

// CompanyChoices are the names of the newest companies.
func (a *Admin) CompanyChoices(ctx context.Context) ([]Choice, error) {
	list, err := a.ListCompanies(ctx, mostChoices)
	return choices(list, func(c Company) Choice { return Choice{c.Name, c.ID.String()} }), err
}

func choices[T any](rows []T, choice func(T) Choice) []Choice {
	all := make([]Choice, len(rows))
	for i, r := range rows {
		all[i] = choice(r)
		all[i].Description = cell(all[i].Description) // no control characters
	}
	return all
}
