package api_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestUsage(t *testing.T) {
	t.Parallel()
	b := setup(t)
	none := b.do("GET", "/billing/usage", nil).is(200)
	require.EqualValues(t, 0, none["totalInterviews"])
	require.Equal(t, []any{}, none["breakdownByCostKey"])
	require.Len(t, none["companies"], 1, "the key's own company")

	for day, events := range map[string]int{"2026-01-01": 1, "2026-01-31": 2, "2026-02-01": 4} {
		_, err := b.ExecContext(b.ctx, `INSERT INTO usage_days (company_id, day, cost_key, events, seconds)
			VALUES (?, ?, 'interview_minutes', ?, ?), (?, ?, 'sourcing_candidates', 10, 0)`,
			b.company, day, events, 90*events, b.company, day)
		require.NoError(t, err)
	}
	_, err := b.ExecContext(b.ctx, `INSERT INTO usage_days (company_id, day, cost_key, events, seconds)
		VALUES (?, '2026-01-15', 'interview_minutes', 8, 61)`, b.other)
	require.NoError(t, err)
	got := b.do("GET", "/billing/usage?start=2026-01-01&end=2026-01-31", nil).is(200)
	breakdown := []any{
		object{"costKey": "interview_minutes", "events": 3.0, "minutesUsed": 4.5},
		object{"costKey": "sourcing_candidates", "events": 20.0, "minutesUsed": 0.0},
	}
	company := got["companies"].([]any)[0].(object)
	require.Equal(t, b.company.String(), company["companyId"])
	require.Equal(t, "minutes", company["billingSystem"])
	for _, sums := range []object{got, company} {
		require.InDelta(t, 4.5, sums["totalMinutesUsed"], 0)
		require.EqualValues(t, 3, sums["totalInterviews"])
		require.Equal(t, breakdown, sums["breakdownByCostKey"])
	}
	require.Equal(t, got, b.do("GET", "/billing/usage?start=2026-01-01T00:00:00Z&end=2026-01-31T23:59:59Z", nil).is(200))
	require.Equal(
		t,
		got,
		b.do("GET", "/billing/usage?start=2026-01-01&end=2026-01-31&companyId="+b.other.String(), nil).is(200),
		"a company's key sees its own company alone",
	)

	all := b.as(b.platformKey, "GET", "/billing/usage?start=2026-01-01&end=2026-01-31", nil).is(200)
	require.Len(t, all["companies"], 2)
	require.EqualValues(t, 11, all["totalInterviews"])
	require.InDelta(t, 5.52, all["totalMinutesUsed"], 0.001)
	one := b.as(b.platformKey, "GET", "/billing/usage?start=2026-01-01&end=2026-01-31&companyId="+b.other.String(), nil).
		is(200)
	require.EqualValues(t, 8, one["totalInterviews"])

	for query, field := range map[string]string{
		"start=yesterday": "start", "end=2026-13-01": "end", "start=2026-02-01&end=2026-01-01": "start",
		"start=2024-01-01&end=2026-01-01": "start", "start=": "start", "from=2026-01-01": "from",
		"start=2026-01-01T00:00:00": "start",
	} {
		b.do("GET", "/billing/usage?"+query, nil).fails(400, "VALIDATION_ERROR", field)
	}
}

// TestUsageByDefault is of the last 30 days.
func TestUsageByDefault(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, days := range []int{0, 29, 32} {
		_, err := b.ExecContext(b.ctx, `INSERT INTO usage_days (company_id, day, cost_key, events)
			VALUES (?, ?, 'interview_minutes', 1)`, b.company, time.Now().UTC().AddDate(0, 0, -days).Format(time.DateOnly))
		require.NoError(t, err)
	}
	require.EqualValues(t, 2, b.do("GET", "/billing/usage", nil).is(200)["totalInterviews"])
}
