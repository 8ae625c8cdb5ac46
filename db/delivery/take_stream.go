package delivery

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/uptrace/bun"

	"greenroom/db/pg"
)

// TakeForStream claims the oldest queued deliveries of each flow that are ordinary first attempts, and stores them as
// the batch b of a stream, in one statement that commits by itself. It leaves to TakeDeliveries, and reports as others,
// what it saw of other kinds: retries, probes, lost workflows, and whatever waits for a webhook that is blocked, failed
// last or has a rate limit.
//
// t.Ready are the batch's deliveries that wait for an attempt. TakeForStream ignores b.Deliveries. ErrTaken means that
// deliveries were claimed and cannot be read: the stream finds the batch by itself.
func TakeForStream(ctx context.Context, db bun.IDB, o TakeOptions, b Batch) (t TakeResult, others bool, err error) {
	args := o.args()
	args["batch"], args["stream"] = b.ID, b.Stream
	rows, err := scanRows(pg.Direct(db).QueryContext(ctx, takeForStreamSQL.SQL, takeForStreamSQL.Args(args)...))
	if err != nil {
		return t, false, fmt.Errorf("take deliveries for a stream: %w", err)
	}
	t.Next = nextFlow(rows, o.Limit)
	rows = slices.DeleteFunc(rows, func(r queuedRow) bool {
		marker := r.Attempt == 0
		others = others || marker
		return marker
	})
	t.Taken = len(rows)
	if err := readTaken(ctx, db, rows); err != nil {
		return t, others, errors.Join(ErrTaken, err)
	}
	for i := range rows {
		if rows[i].needsWorkflow() {
			t.Ready = append(t.Ready, rows[i].QueuedDelivery)
		}
	}
	t.sort()
	return t, others, nil
}

// ErrTaken means that TakeForStream has committed a batch.
var ErrTaken = errors.New("the deliveries were taken")

// takeForStreamSQL walks the flows as takeSQL does. A row with attempt 0 stands for what is not an ordinary first
// attempt, with its flow.
var takeForStreamSQL = pg.Named(flowsSQL + `, picked AS MATERIALIZED (
  SELECT p.row, p.ordinary, flows.webhook_id, flows.company_id
  FROM flows LEFT JOIN LATERAL (
    SELECT q.ctid AS row, q.attempt <= 1 AND NOT q.probe AND NOT q.redo AS ordinary FROM delivery_queue q
    WHERE q.webhook_id = flows.webhook_id AND q.company_id = flows.company_id AND NOT q.single
    ORDER BY q.webhook_id, q.company_id, q.delivery_id
    LIMIT CASE WHEN COALESCE(flows.limited OR flows.failing, true) THEN 0
      ELSE COALESCE((@room::jsonb ->> flows.webhook_id::text)::int, @per_flow::int) END
    FOR UPDATE SKIP LOCKED
  ) p ON true
  WHERE p.row IS NOT NULL OR COALESCE(flows.limited OR flows.failing
    AND COALESCE((@room::jsonb ->> flows.webhook_id::text)::int, @per_flow::int) > 0, true) LIMIT @limit
), taken AS (
  DELETE FROM delivery_queue WHERE ctid = ANY (ARRAY(SELECT row FROM picked WHERE ordinary))
  RETURNING webhook_id, company_id, delivery_id, attempt, probe, redo
), added AS (
  INSERT INTO delivery_batches (id, deliveries, stream_id)
  SELECT @batch::uuid, array_agg(delivery_id), @stream::uuid FROM taken HAVING count(*) > 0
)` + answerSQL + `
UNION ALL
SELECT '00000000-0000-0000-0000-000000000000', webhook_id, company_id, 0, false, false, '', '', 0, 0, 0, false,
  false, false, ''
FROM picked WHERE ordinary IS NOT TRUE`)
