package db_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"greenroom/db"
	"greenroom/db/dbtest"
)

// TestMigrate_candidate_changed: a webhook that was subscribed to candidate_changed before the event stood for more
// types gets these too, and no other webhook does. The way back removes them.
func TestMigrate_candidate_changed(t *testing.T) {
	t.Parallel()
	d, ctx := dbtest.New(t), t.Context()
	all, err := db.MigrationStatus(ctx, d)
	require.NoError(t, err)
	at := slices.IndexFunc(all, func(m db.MigrationState) bool { return strings.HasSuffix(m.Name, "_candidate_changed") })
	require.Positive(t, at)
	back := func() {
		plan, err := db.PlanRollback(ctx, d, len(all)-at)
		require.NoError(t, err)
		require.NoError(t, db.RollBack(ctx, d, plan.Migrations))
	}
	events := func(name string) (types []string) {
		require.NoError(t, d.NewRaw("SELECT unnest(events) FROM webhooks WHERE name = ?", name).Scan(ctx, &types))
		return types
	}
	back()
	for name, w := range map[string][2]string{
		"changes": {"interview-suite", "{candidate.created,candidate.invited,candidate.updated,interview.finished}"},
		"others":  {"interview-suite", "{job.created,job.updated}"},
		"own":     {"standard", "{interview.finished}"},
	} {
		_, err := d.ExecContext(ctx, `INSERT INTO webhooks (id, profile, name, url, events, secret, max_retries, timeout_ms)
			VALUES (uuid_v7(), ?, ?, 'https://receiver.test', ?::text[], '', 0, 1)`, w[0], name, w[1])
		require.NoError(t, err)
	}
	_, err = db.Migrate(ctx, d)
	require.NoError(t, err)
	before := []string{"candidate.created", "candidate.invited", "candidate.updated", "interview.finished"}
	require.Equal(t, append(slices.Clone(before), "interview.started", "interview.failed", "interview.canceled"),
		events("changes"))
	require.Equal(t, []string{"job.created", "job.updated"}, events("others"))
	require.Equal(t, []string{"interview.finished"}, events("own"))
	back()
	require.Equal(t, before, events("changes"))
}
