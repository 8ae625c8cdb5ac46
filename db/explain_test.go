package db_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"greenroom/db/dbtest"
	"greenroom/db/pg"
	"greenroom/db/plan"
)

// TestQueryCostIsIndependentOfTableSize reads from PostgreSQL's plans how much each use of this package reads in a
// month of deliveries. The planner compares the days by how full the newest one was when statistics were taken, so
// the month ends now, and at other times of a day. `make bench/large` shows the same with ten million.
func TestQueryCostIsIndependentOfTableSize(t *testing.T) {
	t.Parallel()
	yesterday := time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, -1)
	for name, until := range map[string]time.Time{
		"until_now":      time.Now(),
		"until_midnight": yesterday.Add(time.Minute),
		"until_morning":  yesterday.Add(9 * time.Hour),
		"until_noon":     yesterday.Add(12 * time.Hour),
		"until_evening":  yesterday.Add(20 * time.Hour),
	} {
		t.Run(name, func(t *testing.T) { testNothingFollows(t, until) })
	}
}

func testNothingFollows(t *testing.T, until time.Time) {
	d, url := dbtest.NewURL(t)
	size := plan.Size{Deliveries: 60_000, Days: 30, Companies: 10, Webhooks: 40, Parallel: 2, Until: until}
	past, err := plan.Fill(t.Context(), d, size, nil)
	require.NoError(t, err)
	traced, err := plan.Open(pg.Options{URL: url})
	require.NoError(t, err)
	defer traced.Close()
	for _, c := range past.Cases(20_000) {
		t.Run(c.Name, func(t *testing.T) {
			require.NoError(t, past.Ready(t.Context(), d, c))
			plans, err := c.Explain(t.Context(), traced)
			require.NoError(t, err)
			require.NotEmpty(t, plans)
			for _, p := range plans {
				requireSmall(t, c, p)
			}
		})
	}
}

func requireSmall(t *testing.T, c plan.Case, p plan.Plan) {
	t.Helper()
	what := fmt.Sprintf("%s\n%+v", p.SQL, p.Scans)
	if c.Rows == 0 { // known not to be bounded, see the case
		for _, table := range p.SeqScans() {
			require.False(t, plan.Grows(table), "%s is read from end to end\n%s", table, what)
		}
		return
	}
	require.LessOrEqual(t, p.Rows(), float64(c.Rows), what)
	for _, table := range []string{"deliveries", "attempts", "events"} {
		require.LessOrEqual(t, p.Partitions(table), c.Partitions, "partitions of %s\n%s", table, what)
	}
}
