package db

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/db/pg"
)

// The kinds of usage: the minutes of interviews (counted by a trigger when an interview that began ends), the
// candidates that sourcing found, and the profiles that were enriched.
const (
	UsageInterviews = "interview_minutes"
	UsageSourcing   = "sourcing_candidates"
	UsageEnrichment = "profile_enrichments"
)

// Usage is what a company used of one kind in a period.
type Usage struct {
	CompanyID   uuid.UUID
	CompanyName string
	CostKey     string
	Events      int64
	// Minutes are those of interviews; the other kinds use none.
	Minutes float64
}

// countUsage adds to what a company used today. Nothing is stored for none.
func countUsage(ctx context.Context, tx bun.Tx, company uuid.UUID, costKey string, events int) error {
	if events == 0 {
		return nil
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO usage_days AS u (company_id, day, cost_key, events)
		VALUES (?, (now() AT TIME ZONE 'UTC')::date, ?, ?)
		ON CONFLICT (company_id, day, cost_key) DO UPDATE SET events = u.events + EXCLUDED.events`, company, costKey, events)
	if err != nil {
		return fmt.Errorf("count usage: %w", err)
	}
	return nil
}

// ListUsage returns what the companies that the scope sees used from one day to another, both included (UTC), by
// company and kind. It reads the sums of the days.
func ListUsage(ctx context.Context, db bun.IDB, s pg.Scope, from, to time.Time) ([]Usage, error) {
	us := []Usage{}
	q := db.NewSelect().TableExpr("companies AS c").
		Join(`CROSS JOIN LATERAL (
			SELECT u.cost_key, sum(u.events)::bigint AS events, (sum(u.seconds) / 60)::float8 AS minutes FROM usage_days u
			WHERE u.company_id = c.id AND u.day >= ?::date AND u.day <= ?::date GROUP BY u.cost_key) AS x`,
			from.UTC().Format(time.DateOnly), to.UTC().Format(time.DateOnly)).
		ColumnExpr("c.id AS company_id, c.name AS company_name, x.cost_key, x.events, x.minutes").
		OrderExpr("c.id, x.cost_key")
	if s.Company != nil {
		q = q.Where("c.id = ?", *s.Company)
	}
	if err := q.Scan(ctx, &us); err != nil {
		return nil, fmt.Errorf("list usage: %w", err)
	}
	return us, nil
}
