package delivery

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/db/catalog"
	"greenroom/db/pg"
)

const (
	// FilterTestLimit is the most events that a test of a filter looks at.
	FilterTestLimit = 100
	// filterTestBytes limits the data that one reads, filterTestTime its statement.
	filterTestBytes = 8 << 20
	filterTestTime  = 2 * time.Second
)

// FilterOutcome is whether a webhook would get a past event, or the first reason against it.
type FilterOutcome struct {
	ID         uuid.UUID
	Type       string
	OccurredAt time.Time
	// Reasons in the order of their precedence.
	IsTest, AboutItself, Erased, Unsubscribed bool
	// Failed are the clauses of the filter that the event does not match.
	Failed []string
}

// FilterTest is a filter on trial.
type FilterTest struct {
	Webhook *Webhook
	// Filter is evaluated instead of the webhook's; nil: none.
	Filter json.RawMessage
	// Limit is how many events are looked at, the newest: at most FilterTestLimit.
	Limit int
}

// TestFilter evaluates a filter on the newest events that could reach the webhook: those of its company, or all for a
// webhook of the platform. It reads at most about 8 MiB of data: complete is false when these were fewer events than
// the limit. It stores nothing. An invalid filter is a FilterError.
func TestFilter(ctx context.Context, db bun.IDB, t FilterTest) (out []FilterOutcome, complete bool, err error) {
	clauses := []FilterClause{}
	if t.Filter != nil {
		if clauses, err = FilterClauses(t.Filter); err != nil {
			return nil, false, err
		}
	}
	err = pg.InTx(ctx, db, func(ctx context.Context, tx bun.Tx) error {
		if err := planByIndex(ctx, tx); err != nil {
			return err
		}
		ids, all, err := t.newest(ctx, tx)
		if err != nil || len(ids) == 0 {
			complete = all
			return err
		}
		complete = all
		if _, err := tx.ExecContext(ctx, "SET LOCAL statement_timeout = ?", filterTestTime.Milliseconds()); err != nil {
			return err
		}
		out, err = t.evaluate(ctx, tx, ids, clauses)
		return err
	})
	if err != nil {
		return nil, false, fmt.Errorf("test filter: %w", err)
	}
	return out, complete, nil
}

// The newest events, in the order of an index of the feed. $1 is how many, $2 the company.
const (
	newestSQL        = `SELECT id, octet_length(data) FROM events ORDER BY position DESC, id DESC LIMIT $1`
	companyNewestSQL = `SELECT id, octet_length(data) FROM events WHERE company_id >= $2::uuid AND company_id <= $2
ORDER BY company_id DESC, position DESC, id DESC LIMIT $1`
)

// newest returns the events to look at. all is false when their data is too long for all that were wanted.
func (t *FilterTest) newest(ctx context.Context, tx bun.Tx) (ids []uuid.UUID, all bool, err error) {
	query, args := newestSQL, []any{min(t.Limit, FilterTestLimit)}
	if company := t.Webhook.Company(); company != nil {
		query, args = companyNewestSQL, append(args, pgID(*company))
	}
	rows, err := pg.Direct(tx).QueryContext(ctx, query, args...)
	if err != nil {
		return nil, false, err
	}
	defer func() { _ = rows.Close() }() // rows.Err reports its error
	bytes := 0
	for rows.Next() {
		var id uuid.UUID
		var size int
		if err := rows.Scan(&id, &size); err != nil {
			return nil, false, err
		}
		if bytes += size; bytes > filterTestBytes && len(ids) > 0 {
			return ids, false, nil
		}
		ids = append(ids, id)
	}
	return ids, true, rows.Err()
}

// evaluateSQL: $1 the ids, $2 the types of the webhook, $3 its id, $4 the operational types, $5 and $6 the names and
// paths of the clauses.
var evaluateSQL = `
SELECT e.id, e.type, e.occurred_at, e.is_test, e.type = ANY ($4::text[]) AND strpos(e.data, $3) > 0,
  e.data LIKE '{"candidateId":"____________________________________","erased":true}',
  NOT ($2::text[] && ` + typeNames("e.type") + `),
  array_to_json(ARRAY(SELECT c.name FROM unnest($5::text[], $6::text[]) WITH ORDINALITY AS c (name, path, n)
    WHERE NOT COALESCE(jsonb_path_match(x.event, c.path::jsonpath, '{}', true), false) ORDER BY c.n))::text
FROM unnest($1::uuid[]) WITH ORDINALITY AS w (id, n) JOIN events e ON e.id = w.id
  CROSS JOIN LATERAL (SELECT jsonb_build_object('type', e.type, 'data', e.data::jsonb, 'context', e.context::jsonb)
    AS event OFFSET 0) x
ORDER BY w.n`

func (t *FilterTest) evaluate(
	ctx context.Context, tx bun.Tx, ids []uuid.UUID, clauses []FilterClause,
) (out []FilterOutcome, err error) {
	names, paths := make([]string, len(clauses)), make([]string, len(clauses))
	for i, c := range clauses {
		names[i], paths[i] = c.Name, c.Path
	}
	rows, err := pg.Direct(tx).QueryContext(ctx, evaluateSQL, pgIDs(ids), t.Webhook.Events, t.Webhook.ID.String(),
		catalog.Operational(), names, paths)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // rows.Err reports its error
	for rows.Next() {
		var o FilterOutcome
		var failed string
		err := rows.Scan(&o.ID, &o.Type, &o.OccurredAt, &o.IsTest, &o.AboutItself, &o.Erased, &o.Unsubscribed, &failed)
		if err == nil {
			err = json.Unmarshal([]byte(failed), &o.Failed)
		}
		if err != nil {
			return nil, err
		}
		out = append(out, o)
	}
	return out, rows.Err()
}
