package delivery_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"greenroom/db/dbtest"
	"greenroom/db/delivery"
	"greenroom/db/pg"
)

// TestRecordPlan looks at the plans of the statement that records events, beside 10,000 webhooks: each event must
// find its webhooks by index, whether the plan is made for these arguments or for all, with statistics and without.
func TestRecordPlan(t *testing.T) {
	t.Parallel()
	d := dbtest.New(t)
	ctx := t.Context()
	_, err := d.ExecContext(ctx, `
		INSERT INTO companies (id, name) SELECT uuid_v7(), 'c' || n FROM generate_series(1, 1000) n;
		INSERT INTO api_keys (id, name, prefix, hash, scopes) SELECT id, name, '', name::bytea, '{}' FROM companies;
		INSERT INTO webhooks (id, company_id, owner_company_id, profile, url, events, max_retries, timeout_ms, secret)
		SELECT uuid_v7(), CASE WHEN n < 10 THEN c.id END, CASE WHEN n > 3 THEN c.id END,
		  'standard', 'https://x.test', '{job.created}', 3, 1000, ''
		FROM companies c CROSS JOIN generate_series(1, 10) n`)
	require.NoError(t, err)
	for _, analyzed := range []bool{false, true} {
		if analyzed {
			_, err := d.ExecContext(ctx, "ANALYZE")
			require.NoError(t, err)
		}
		for _, mode := range []string{"force_custom_plan", "force_generic_plan"} {
			for _, companies := range []int{1, 100, 1000} {
				t.Run(fmt.Sprintf("%s_analyzed_%v_companies_%d", mode, analyzed, companies), func(t *testing.T) {
					plan := recordPlan(ctx, t, d, mode, companies)
					require.NotRegexp(t, `Seq Scan on (webhooks|companies|api_keys)`, plan)
					require.Regexp(t, `Index Scan (using|on) webhooks_company .*\(actual rows=9 loops=`+fmt.Sprint(companies), plan)
					require.Regexp(t, `Index Scan (using|on) webhooks_owner .*\(actual rows=[17] loops=`+fmt.Sprint(companies), plan)
					require.NotContains(t, plan, "Join", "events and webhooks meet in a nested loop only")
				})
			}
		}
	}
}

// recordPlan runs the statement for one event of each of so many companies, takes it back and returns how it ran.
func recordPlan(ctx context.Context, t *testing.T, d *bun.DB, mode string, companies int) string {
	t.Helper()
	var lines []string
	errUndo := errors.New("undo")
	err := d.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		_, err := tx.ExecContext(
			ctx,
			"SET LOCAL enable_seqscan = on; SET LOCAL enable_hashjoin = on; SET LOCAL enable_mergejoin = on; SET LOCAL plan_cache_mode = "+
				mode+"; PREPARE record AS "+delivery.InsertEventsSQL.SQL,
		)
		require.NoError(t, err)
		var ids, owners, versions string
		require.NoError(
			t,
			tx.NewRaw(`SELECT array_agg(uuid_v7()), array_agg(id), array_agg(xmin::text) FROM (SELECT id, xmin FROM api_keys ORDER BY id LIMIT ?) k`,
				companies).
				Scan(ctx, &ids, &owners, &versions),
		)
		fill := func(value string) string { return fmt.Sprintf("array_fill(%s, ARRAY[%d])", value, companies) }
		var values []string
		for _, v := range delivery.InsertEventsSQL.Args(pg.Args{
			"ids": "'" + ids + "'", "companies": "'" + owners + "'", "types": fill("'job.created'::text"),
			"data": fill("'{}'::text"), "times": fill("now()"), "contexts": fill("NULL::text"), "subjects": fill("'a:1'::text"),
			"jobs": fill("NULL::uuid"), "abouts": fill("NULL::uuid"), "submissions": fill("0"), "notify": "false",
			"requests": fill("'r'::text"), "traces": "NULL",
			"key_submissions": fill("0"), "keys": "'" + owners + "'", "key_versions": "'" + versions + "'",
			"company_submissions": fill("0"), "required_companies": "'" + owners + "'",
			"once_submissions": fill("0"), "once_api_keys": "'" + owners + "'", "once_keys": fill("'k'::text"),
			"once_locks": fill("1"),
		}) {
			values = append(values, v.(string))
		}
		execute := "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) EXECUTE record (" + strings.Join(values, ", ") + ")"
		err = tx.NewRaw(execute).
			Scan(ctx, &lines)
		require.NoError(t, err)
		_, err = tx.ExecContext(ctx, "DEALLOCATE record")
		require.NoError(t, err)
		return errUndo
	})
	require.ErrorIs(t, err, errUndo)
	t.Log(strings.Join(lines, "\n"))
	return strings.Join(lines, "\n")
}
