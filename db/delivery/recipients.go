package delivery

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/db/pg"
)

// An event's deliveries are inserted with it, so their ids have its time: that of the process before, that of the
// database after the statement has waited for a connection and locks. The clocks of the two may differ.
const (
	insertedBefore = time.Minute
	insertedAfter  = 2 * time.Minute
)

// EventDeliveries returns the deliveries of an event that the scope sees, by webhook, without their bodies. There is no
// index of them by event: it reads those of the event's company in the minutes around the event.
func EventDeliveries(ctx context.Context, db bun.IDB, s pg.Scope, e *Event) (map[uuid.UUID]*Delivery, error) {
	var ds []Delivery
	at := pg.TimeOf(e.ID)
	q := deliveriesOf(s, db.NewSelect().Model(&ds).ExcludeColumn("body")).
		Where("d.event_id = ?", e.ID).
		Where("d.id >= ?", pg.FloorID(at.Add(-insertedBefore))).
		Where("d.id < ?", pg.FloorID(at.Add(insertedAfter)))
	if e.CompanyID != nil {
		q = q.Where("d.company_id = ?", *e.CompanyID)
	} else {
		q = q.Where("d.company_id IS NULL")
	}
	if err := q.Scan(ctx); err != nil {
		return nil, fmt.Errorf("read deliveries of event: %w", err)
	}
	out := make(map[uuid.UUID]*Delivery, len(ds))
	for i := range ds {
		out[ds[i].WebhookID] = &ds[i]
	}
	return out, nil
}

// EventWebhooks returns the webhooks that may get events of the company (nil: of the platform alone), as they are now
// and as far as the scope sees them, and those of the ids, which may be deleted. Oldest first, without secrets.
func EventWebhooks(
	ctx context.Context, db bun.IDB, s pg.Scope, company *uuid.UUID, ids []uuid.UUID,
) ([]Webhook, error) {
	var hooks []Webhook
	q := recipients(db, &hooks).Where("w.deleted_at IS NULL")
	const platform = "w.company_id IS NULL AND w.owner_company_id IS NULL"
	switch {
	case company == nil:
		q = q.Where(platform)
	case s.Company != nil:
		q = q.Where("w.company_id = ?0 OR w.company_id IS NULL AND w.owner_company_id = ?0", *company)
	default:
		q = q.Where("w.company_id = ?0 OR w.company_id IS NULL AND w.owner_company_id = ?0 OR "+platform, *company)
	}
	if err := q.Scan(ctx); err != nil {
		return nil, fmt.Errorf("read webhooks of event: %w", err)
	}
	missing := slices.DeleteFunc(slices.Clone(ids), func(id uuid.UUID) bool {
		return slices.ContainsFunc(hooks, func(w Webhook) bool { return w.ID == id })
	})
	if len(missing) > 0 {
		var others []Webhook
		if err := recipients(db, &others).Where("w.id IN (?)", bun.List(missing)).Scan(ctx); err != nil {
			return nil, fmt.Errorf("read webhooks of event: %w", err)
		}
		hooks = append(hooks, others...)
	}
	return hooks, nil
}

// recipients selects what explains whether a webhook gets an event.
func recipients(db bun.IDB, hooks *[]Webhook) *bun.SelectQuery {
	return db.NewSelect().Model(hooks).
		Column("id", "company_id", "owner_company_id", "profile", "name", "events", "is_active", "disabled_reason",
			"filter_path", "consecutive_failures", "circuit_opened_at", "circuit_recovery", "set_id", "created_at", "updated_at",
			"deleted_at").
		Order("w.id")
}

// FilteredOut returns those of the webhooks whose filter does not match the event.
func FilteredOut(ctx context.Context, db bun.IDB, e *Event, hooks []Webhook) (map[uuid.UUID]bool, error) {
	var ids []uuid.UUID
	for i := range hooks {
		if hooks[i].FilterPath != nil {
			ids = append(ids, hooks[i].ID)
		}
	}
	out := map[uuid.UUID]bool{}
	if len(ids) == 0 {
		return out, nil
	}
	var filtered []uuid.UUID
	err := db.NewRaw("SELECT w.id FROM webhooks w, events e WHERE e.id = ? AND w.id IN (?) AND NOT "+
		filterMatches("w.filter_path", "e.type", "e.data", "e.context"), e.ID, bun.List(ids)).Scan(ctx, &filtered)
	if err != nil {
		return nil, fmt.Errorf("check filters of an event: %w", err)
	}
	for _, id := range filtered {
		out[id] = true
	}
	return out, nil
}
