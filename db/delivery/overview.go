package delivery

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/db/pg"
)

// Waiting describes the deliveries that have not ended.
type Waiting struct {
	// Count is how many there are, at most the limit.
	Count int
	// Oldest is when the oldest of the counted ones was made; zero without one.
	Oldest time.Time
}

// ownedWebhooks is the quota of a company's webhooks. Those of a company with more are counted up to it.
const ownedWebhooks = 1000

// CountWaiting counts the live deliveries that the scope sees, up to limit. It reads the index deliveries_live alone,
// in its order (see liveOf), so its cost depends on neither the ended deliveries nor a long backlog.
func CountWaiting(ctx context.Context, db bun.IDB, s pg.Scope, limit int) (w Waiting, err error) {
	var oldest *uuid.UUID
	q := db.NewRaw(`SELECT count(*), (array_agg(id ORDER BY id))[1] FROM (
		SELECT id FROM deliveries WHERE live_webhook(status, webhook_id) >= ?0
		ORDER BY live_webhook(status, webhook_id), status, id LIMIT ?1) live`, uuid.Nil, limit)
	if s.Company != nil {
		q = db.NewRaw(`SELECT count(*), (array_agg(id ORDER BY id))[1] FROM (
			SELECT live.id FROM (
				SELECT id FROM webhooks WHERE (company_id = ?0 OR owner_company_id = ?0) AND deleted_at IS NULL LIMIT ?2
			) w CROSS JOIN LATERAL (
				SELECT id FROM deliveries WHERE live_webhook(status, webhook_id) >= w.id
				  AND live_webhook(status, webhook_id) <= w.id AND company_id = ?0
				ORDER BY live_webhook(status, webhook_id), status, id LIMIT ?1
			) live LIMIT ?1) live`, *s.Company, limit, ownedWebhooks)
	}
	err = pg.InTx(ctx, db, func(ctx context.Context, tx bun.Tx) error {
		if err := planByIndex(ctx, tx); err != nil {
			return err
		}
		return q.Conn(tx).Scan(ctx, &w.Count, &oldest)
	})
	if err != nil {
		return w, fmt.Errorf("count waiting deliveries: %w", err)
	}
	if oldest != nil {
		w.Oldest = pg.TimeOf(*oldest)
	}
	return w, nil
}

// ListTroubled returns the webhooks that the scope sees and that need a person, at most limit: those with an open
// circuit, the longest open first, and those that were disabled.
func ListTroubled(ctx context.Context, db bun.IDB, s pg.Scope, limit int) ([]Webhook, error) {
	hooks := []Webhook{}
	err := webhooksOf(s, db.NewSelect().Model(&hooks).Where("w.deleted_at IS NULL")).
		Where("(w.circuit_opened_at IS NOT NULL OR NOT w.is_active AND w.disabled_reason IS NOT NULL)").
		OrderExpr("w.circuit_opened_at NULLS LAST, w.id").Limit(int64(limit)).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("list troubled webhooks: %w", err)
	}
	return hooks, nil
}

// ReplayEstimate is how many deliveries a replay would send again.
type ReplayEstimate struct {
	// Matching are those among the Looked ones, which are the oldest of the replay's time.
	Matching, Looked int
	// Until is when the last one that was looked at was made.
	Until time.Time
	// Complete: all deliveries of the time were looked at, so Matching is exact.
	Complete bool
}

// Estimate is Matching, carried on to the end of the replay's time at the same density if the count is not complete.
func (n ReplayEstimate) Estimate(r *Replay) int64 {
	looked := n.Until.Sub(r.Since)
	if n.Complete || looked <= 0 {
		return int64(n.Matching)
	}
	return int64(float64(n.Matching) * float64(r.Until.Sub(r.Since)) / float64(looked))
}

// EstimateReplay counts what a replay that is not stored yet would send again. It looks at the first replayLooks
// deliveries of its time, as a page does, so its cost does not depend on the length of the time.
func EstimateReplay(ctx context.Context, db bun.IDB, r *Replay) (n ReplayEstimate, err error) {
	err = pg.InTx(ctx, db, func(ctx context.Context, tx bun.Tx) error {
		page, err := r.look(ctx, tx, replayLooks)
		if err != nil {
			return err
		}
		n.Matching, n.Looked, n.Complete = len(page.matches), page.looked, page.end
		if page.last != uuid.Nil {
			n.Until = pg.TimeOf(page.last)
		}
		return nil
	})
	if err != nil {
		return ReplayEstimate{}, fmt.Errorf("estimate replay: %w", err)
	}
	return n, nil
}
