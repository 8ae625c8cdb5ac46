package db_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"greenroom/db/dbtest"
	"greenroom/db/plan"
)

// TestNothingFollowsTheSizeOfTheTables has PostgreSQL tell what each use of this package reads in a month of deliveries. `make bench/large` shows the same with ten million.
func TestNothingFollowsTheSizeOfTheTables(t *testing.T) {
	t.Parallel()
	d, url := dbtest.NewURL(t)
	past, err := plan.Fill(t.Context(), d, plan.Size{Deliveries: 60_000, Days: 30, Companies: 10, Webhooks: 40, Parallel: 2}, nil)
	require.NoError(t, err)
	traced, err := plan.Open(url)
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
