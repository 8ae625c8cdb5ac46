package plan

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/db"
	"greenroom/db/delivery"
)

// Each company has this many ended sourcings, with this many profiles each, and used something on each day of a year.
const (
	sourcings   = 100
	profilesPer = 10
	usedDays    = 366
)

// fillSourcing generates the sourcings and the usage of each company.
func (p *Past) fillSourcing(ctx context.Context, d *bun.DB) error {
	for _, statement := range []string{
		`INSERT INTO service_runs (id, company_id, kind, status, request, due_at, created_at, updated_at, completed_at)
		SELECT uuid_v7(), c.id, 'sourcing', 'completed', '{"limit":10}', now(), now(), now() - n * interval '1 hour', now()
		FROM companies c, generate_series(1, ?0) AS n`,
		`INSERT INTO sourced_profiles (id, run_id, company_id, profile_id, pass, data)
		SELECT uuid_v7(), r.id, r.company_id, 'p' || n, 1,
			jsonb_build_object('profileId', 'p' || n, 'name', 'N', 'skills', '[]'::jsonb, 'rationale', repeat('x', 200))
		FROM service_runs r, generate_series(1, ?1) AS n`,
		`INSERT INTO usage_days (company_id, day, cost_key, events, seconds)
		SELECT c.id, now()::date - n, k, 1, 60 FROM companies c, generate_series(0, ?2 - 1) AS n,
			unnest(ARRAY['interview_minutes', 'sourcing_candidates', 'profile_enrichments']) AS k
		ON CONFLICT DO NOTHING`,
	} {
		if _, err := d.ExecContext(ctx, statement, sourcings, profilesPer, usedDays); err != nil {
			return fmt.Errorf("generate sourcings: %w", err)
		}
	}
	err := d.NewRaw("SELECT id FROM service_runs WHERE company_id = ?", p.Company[0]).Scan(ctx, &p.runs)
	return err
}

// sourcingCases are the uses of what sourcings found, and of the sums of usage.
func (p *Past) sourcingCases() []Case {
	nobody := delivery.Person{Patterns: []string{"%nobody@example.com%"}, In: func(string) bool { return false }}
	nextRun := func() uuid.UUID { return p.runs[p.next()%len(p.runs)] }
	return []Case{
		{Name: "usage, 30 days", Rows: 31*3 + 10, Run: func(ctx context.Context, tx bun.Tx, _ *bun.DB) error {
			s, _ := p.nextCompany()
			now := time.Now()
			_, err := db.ListUsage(ctx, tx, s, now.AddDate(0, 0, -30), now)
			return err
		}},
		{Name: "sourcing, its candidates", Rows: profilesPer + 2, Run: func(ctx context.Context, tx bun.Tx, _ *bun.DB) error {
			ps, err := db.ProfilesOf(ctx, tx, nextRun())
			return enough("read", len(ps), profilesPer, err)
		}},
		{Name: "sourcing, count", Rows: profilesPer + 2, Run: func(ctx context.Context, tx bun.Tx, _ *bun.DB) error {
			n, err := db.CountProfiles(ctx, tx, nextRun())
			return enough("counted", n, profilesPer, err)
		}},
		{Name: "profiles, 10 of a company", Rows: 50, Run: func(ctx context.Context, tx bun.Tx, _ *bun.DB) error {
			s, _ := p.nextCompany()
			ids := make([]string, profilesPer)
			for i := range ids {
				ids[i] = fmt.Sprintf("p%d", i+1)
			}
			found, err := db.FindProfiles(ctx, tx, *s.Company, ids)
			return enough("found", len(found), profilesPer, err)
		}},
		{Name: "service runs, due", Rows: 10, Run: func(ctx context.Context, tx bun.Tx, _ *bun.DB) error {
			_, err := delivery.LookForDue(ctx, tx, db.ReconciledRuns, time.Second, batch)
			return err
		}},
		{Name: "service runs, drop 1", Rows: 60, Run: func(ctx context.Context, tx bun.Tx, _ *bun.DB) error {
			n, err := db.DropRuns(ctx, tx, time.Now().Add(-time.Hour), 1)
			return enough("dropped", n, 1, err)
		}},
		{Name: "erasure, page of profiles", Rows: 2*batch + 10, Run: func(ctx context.Context, tx bun.Tx, _ *bun.DB) error {
			page, err := db.EraseProfiles(ctx, tx, p.Company[0], uuid.Nil, nobody, batch)
			return enough("looked at", page.Looked, batch, err)
		}},
		{Name: "erasure, page of requests", Rows: 2*batch + 10, Run: func(ctx context.Context, tx bun.Tx, _ *bun.DB) error {
			page, err := db.EraseRuns(ctx, tx, p.Company[0], uuid.Nil, nobody, batch)
			return enough("looked at", page.Looked, batch, err)
		}},
		{
			Name: "service runs, in progress",
			Rows: db.MostRuns + 10,
			Run: func(ctx context.Context, tx bun.Tx, _ *bun.DB) error {
				s, _ := p.nextCompany()
				err := db.CheckRuns(ctx, tx, *s.Company)
				if errors.Is(err, db.ErrTooManyRuns) {
					return nil
				}
				return err
			},
		},
	}
}
