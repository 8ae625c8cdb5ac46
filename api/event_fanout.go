package api

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"greenroom/activities/webhook"
	"greenroom/activities/webhook/profiles"
	"greenroom/api/surface"
	"greenroom/db"
	"greenroom/db/catalog"
	"greenroom/db/delivery"
	"greenroom/db/pg"
)

// fanOutOutput is a webhook, and its delivery of an event or the reason why it has none.
type fanOutOutput struct {
	WebhookID uuid.UUID  `json:"webhookId"`
	Name      string     `json:"name"`
	Profile   string     `json:"profile"`
	CompanyID *uuid.UUID `json:"companyId"`
	// Delivery null: the webhook did not get the event, because of Reason.
	Delivery *deliveryOutput `json:"delivery"`
	Reason   *missedReason   `json:"reason"`
	// Why says it in a sentence; null for a delivery that is not held up.
	Why *string `json:"why"`
	// ChangedAt is set if the webhook was changed after the event: Reason comes from what the webhook is now, and it may
	// have been another at the event.
	ChangedAt *surface.Timestamp `json:"changedAt"`
}

// missedReason is why a webhook did not get an event.
type missedReason string

// Reasons, in the order in which they are checked: the first one is shown.
const (
	missedTest         missedReason = "test"
	missedCompany      missedReason = "other_company"
	missedLater        missedReason = "created_later"
	missedDeleted      missedReason = "deleted"
	missedUnsubscribed missedReason = "not_subscribed"
	missedFiltered     missedReason = "filtered"
	missedJobs         missedReason = "other_jobs"
	missedInactive     missedReason = "inactive"
	missedUnknown      missedReason = "unknown"
)

// listFanOut lists the webhooks that got an event, and those that could get events of its company and did not, each
// with the reason. ?webhookId= selects one, of any company that the key sees. What a webhook was at the event is not
// stored, so reasons come from what it is now.
func (s *server) listFanOut(c *gin.Context) error {
	page, err := surface.PageOf(c)
	if err != nil {
		return err
	}
	wanted, err := surface.QueryID(c, "webhookId")
	if err != nil {
		return err
	}
	e, err := s.event(c)
	if err != nil {
		return err
	}
	scope := surface.Caller(c).Scope()
	f := &fanOut{event: e}
	if f.deliveries, err = delivery.EventDeliveries(c.Request.Context(), s.DB, scope, e); err != nil {
		return err
	}
	if f.set, err = s.webhookSetOf(c.Request.Context(), e); err != nil {
		return err
	}
	ids := slices.Collect(maps.Keys(f.deliveries))
	if wanted != nil {
		ids = append(ids, *wanted)
	}
	hooks, err := delivery.EventWebhooks(c.Request.Context(), s.DB, scope, e.CompanyID, ids)
	if err != nil {
		return err
	}
	if hooks, err = narrowed(hooks, wanted, scope); err != nil {
		return err
	}
	if f.filtered, err = delivery.FilteredOut(c.Request.Context(), s.DB, e, hooks); err != nil {
		return err
	}
	slices.SortStableFunc(hooks, func(a, b delivery.Webhook) int { return f.rank(&a) - f.rank(&b) })
	return okPage(c, page, surface.Cut(page, hooks), int64(len(hooks)), f.show)
}

// narrowed returns the wanted webhook alone, if one is, which the scope must see.
func narrowed(hooks []delivery.Webhook, wanted *uuid.UUID, s pg.Scope) ([]delivery.Webhook, error) {
	if wanted == nil {
		return hooks, nil
	}
	i := slices.IndexFunc(hooks, func(w delivery.Webhook) bool { return w.ID == *wanted })
	switch {
	case i < 0:
		return nil, webhookNotFound(wanted.String())
	case !hooks[i].IsOf(s):
		return nil, surface.Denied("webhook configuration")
	}
	return hooks[i : i+1], nil
}

// webhookSetOf returns the set of webhooks that the event's job has now; zero if it has none or the job is not known.
func (s *server) webhookSetOf(ctx context.Context, e *delivery.Event) (uuid.UUID, error) {
	var about catalog.Context
	if e.Context == nil {
		return uuid.Nil, nil
	}
	if err := json.Unmarshal(e.Context, &about); err != nil {
		return uuid.Nil, fmt.Errorf("read the context of event %s: %w", e.ID, err)
	}
	if about.Job == nil {
		return uuid.Nil, nil
	}
	set, err := db.JobWebhooks(ctx, s.DB, about.Job.ID)
	if err != nil {
		return uuid.Nil, err
	}
	return set.ID, nil
}

// fanOut is an event with its deliveries by webhook.
type fanOut struct {
	event      *delivery.Event
	deliveries map[uuid.UUID]*delivery.Delivery
	set        uuid.UUID // that of the event's job
	filtered   map[uuid.UUID]bool
}

// rank lists the webhooks that got the event first.
func (f *fanOut) rank(w *delivery.Webhook) int {
	if f.deliveries[w.ID] != nil {
		return 0
	}
	return 1
}

func (f *fanOut) show(w *delivery.Webhook) fanOutOutput {
	out := fanOutOutput{WebhookID: w.ID, Name: w.Name, Profile: w.Profile, CompanyID: w.CompanyID}
	if d := f.deliveries[w.ID]; d != nil {
		shown := showDelivery(d)
		out.Delivery = &shown
		if d.Status == delivery.Paused {
			why, _ := explainPaused(w)
			out.Why = &why
		}
		return out
	}
	reason, why := f.missed(w)
	out.Reason, out.Why = &reason, &why
	if f.changed(w) {
		out.ChangedAt = surface.Maybe(&w.UpdatedAt)
	}
	return out
}

// changed reports whether the webhook was changed after the event, but not only created.
func (f *fanOut) changed(w *delivery.Webhook) bool {
	return w.UpdatedAt.After(f.event.OccurredAt) && !w.UpdatedAt.Equal(w.CreatedAt)
}

// missed says why the webhook has no delivery of the event, from what it is now.
func (f *fanOut) missed(w *delivery.Webhook) (missedReason, string) {
	e := f.event
	switch {
	case f.isTest():
		return missedTest, "the event is a test, which is sent to one webhook alone"
	case !reaches(w, e.CompanyID):
		return missedCompany, "the webhook gets the events of another company"
	case w.CreatedAt.After(e.OccurredAt):
		return missedLater, "the webhook was created at " + stamp(w.CreatedAt) + ", after the event"
	case w.DeletedAt != nil:
		return missedDeleted, "the webhook was deleted at " + stamp(*w.DeletedAt)
	case !slices.ContainsFunc(w.Events, func(name string) bool { return webhook.Covers(name, e.Type) }):
		return missedUnsubscribed, f.unsubscribed(w)
	case f.filtered[w.ID]:
		return missedFiltered, "the webhook's filter does not match the event"
	case w.SetID != nil && *w.SetID != f.set:
		return missedJobs, "the webhook follows from the settings of AI interviews and gets the events of their jobs alone"
	case !w.IsActive:
		why := "the webhook is not active"
		if w.DisabledReason != nil {
			why += ": " + *w.DisabledReason
		}
		return missedInactive, why
	case f.changed(w):
		return missedUnknown, "the webhook would get the event now; it was changed after the event"
	}
	return missedUnknown, "the webhook would get the event now, and nothing shows why it did not"
}

// isTest reports whether the event was made by a test call.
func (f *fanOut) isTest() bool {
	for _, d := range f.deliveries {
		if d.IsTest {
			return true
		}
	}
	return false
}

// reaches reports whether the webhook may get events of the company.
func reaches(w *delivery.Webhook, company *uuid.UUID) bool {
	of := w.Company()
	return of == nil || company != nil && *of == *company
}

func (f *fanOut) unsubscribed(w *delivery.Webhook) string {
	p, err := profiles.ByName(w.Profile)
	if err == nil && !sends(p, f.event.Type) {
		return "the profile " + w.Profile + " does not send " + f.event.Type
	}
	return "the webhook is not subscribed to " + f.event.Type
}
