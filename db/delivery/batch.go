package delivery

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/uptrace/bun"

	"greenroom/db/pg"
)

// Batch is a set of deliveries whose first attempts one workflow makes. While a delivery is listed in the row, only
// that workflow attempts it. A delivery leaves the row in the transaction that hands it to another workflow.
type Batch struct {
	ID         uuid.UUID
	Deliveries []uuid.UUID `bun:",array"`
	// Stream is the stream that attempts the batch. Without one the batch has a workflow of its own.
	Stream uuid.NullUUID `bun:"-"`
}

// AddBatch inserts a batch of deliveries that were taken in this transaction.
func AddBatch(ctx context.Context, tx bun.Tx, b Batch) error {
	if _, err := pg.Direct(tx).
		ExecContext(ctx, "INSERT INTO delivery_batches (id, deliveries, stream_id) VALUES ($1, $2, $3)",
			b.ID, pgIDs(b.Deliveries), b.Stream); err != nil {
		return fmt.Errorf("insert batch: %w", err)
	}
	return nil
}

// StaleBatches returns up to limit batches that were not checked for age, and marks them checked. It leaves out the
// batches of a stream that a worker has and, without streams, of all of them: after an outage of the database none has
// renewed its lease yet.
func StaleBatches(
	ctx context.Context, db *bun.DB, age time.Duration, limit int, streams bool,
) (stale []Batch, err error) {
	err = db.NewRaw(`UPDATE delivery_batches SET checked_at = now() WHERE id IN (
		SELECT id FROM delivery_batches b WHERE checked_at < now() - ? * interval '1 ms'
		AND (b.stream_id IS NULL OR ? AND NOT EXISTS (
			SELECT FROM delivery_streams s WHERE s.id = b.stream_id AND s.seen_at > now() - ? * interval '1 ms'
		)) LIMIT ? FOR UPDATE SKIP LOCKED
	) RETURNING id, deliveries::text[]`, age.Milliseconds(), streams, streamLostAfter.Milliseconds(), limit).
		Scan(ctx, &stale)
	if err != nil {
		return nil, fmt.Errorf("find stale batches: %w", err)
	}
	return stale, nil
}

// BatchFlows returns the flows of a batch's deliveries.
func BatchFlows(ctx context.Context, db bun.IDB, batch uuid.UUID) (flows []Flow, err error) {
	err = db.NewRaw(`SELECT DISTINCT d.webhook_id AS webhook, COALESCE(d.company_id, ?) AS company
		FROM delivery_batches b CROSS JOIN unnest(b.deliveries) AS x (id)
		CROSS JOIN LATERAL (SELECT webhook_id, company_id FROM deliveries WHERE id = x.id OFFSET 0) d WHERE b.id = ?`,
		uuid.Nil, batch).Scan(ctx, &flows)
	if err != nil {
		return nil, fmt.Errorf("read flows of batch: %w", err)
	}
	return flows, nil
}

// BatchStands reports whether a batch is stalled: it is older than idle, and none of its deliveries has changed since.
func BatchStands(ctx context.Context, db bun.IDB, id uuid.UUID, idle time.Duration) (stands bool, err error) {
	err = db.NewRaw(`SELECT COALESCE((SELECT b.created_at < now() - ?1 * interval '1 ms' AND NOT EXISTS (
			SELECT FROM unnest(b.deliveries) AS x (id) JOIN deliveries d ON d.id = x.id
			WHERE d.updated_at > now() - ?1 * interval '1 ms')
		FROM delivery_batches b WHERE b.id = ?0), false)`, id, idle.Milliseconds()).Scan(ctx, &stands)
	if err != nil {
		return false, fmt.Errorf("check batch: %w", err)
	}
	return stands, nil
}

// LeaseBatch gives the caller a new lease of a batch, which ends the previous one. 0 means that the batch does not
// exist.
func LeaseBatch(ctx context.Context, db bun.IDB, id uuid.UUID) (lease int, err error) {
	err = db.NewRaw("UPDATE delivery_batches SET lease = lease + 1 WHERE id = ? RETURNING lease", id).Scan(ctx, &lease)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return 0, fmt.Errorf("lease batch: %w", err)
	}
	return lease, nil
}

// HoldsBatch reports whether a lease of a batch is still the current one.
func HoldsBatch(ctx context.Context, db bun.IDB, id uuid.UUID, lease int) (holds bool, err error) {
	err = db.NewRaw("SELECT EXISTS (SELECT FROM delivery_batches WHERE id = ? AND lease = ?)", id, lease).Scan(ctx, &holds)
	if err != nil {
		return false, fmt.Errorf("check lease: %w", err)
	}
	return holds, nil
}

// FinishBatch deletes a batch after all of its deliveries were recorded or have left it.
func FinishBatch(ctx context.Context, db bun.IDB, id uuid.UUID) error {
	if _, err := db.ExecContext(ctx, "DELETE FROM delivery_batches WHERE id = ?", id); err != nil {
		return fmt.Errorf("finish batch: %w", err)
	}
	return nil
}

// AbandonBatch deletes a batch whose workflow no longer exists. Its pending deliveries go back to the queue, and each
// gets a workflow of its own.
func AbandonBatch(ctx context.Context, db bun.IDB, id uuid.UUID) error {
	return abandonBatch(ctx, db, id, nil)
}

// AbandonLeasedBatch is AbandonBatch for the holder of a lease. With a lost lease it changes nothing.
func AbandonLeasedBatch(ctx context.Context, db bun.IDB, id uuid.UUID, lease int) error {
	return abandonBatch(ctx, db, id, &lease)
}

func abandonBatch(ctx context.Context, db bun.IDB, id uuid.UUID, lease *int) error {
	err := pg.InTx(ctx, db, func(ctx context.Context, tx bun.Tx) error {
		_, err := tx.ExecContext(ctx, `WITH b AS (
				DELETE FROM delivery_batches WHERE id = ?0 AND lease = COALESCE(?2, lease) RETURNING deliveries
			)
			INSERT INTO delivery_queue (webhook_id, company_id, delivery_id, redo)
			SELECT d.webhook_id, COALESCE(d.company_id, ?1), d.id, true FROM b CROSS JOIN unnest(b.deliveries) AS x (id)
			CROSS JOIN LATERAL (SELECT * FROM deliveries d WHERE d.id = x.id OFFSET 0) d
			WHERE d.status = 'pending' ON CONFLICT DO NOTHING`, id, uuid.Nil, lease)
		if err != nil {
			return err
		}
		notify(tx)
		return nil
	})
	if err != nil {
		return fmt.Errorf("abandon batch: %w", err)
	}
	return nil
}

// LeaveBatch removes deliveries from a batch that will not attempt them. They go back to the queue, or are paused or
// canceled when their webhook is blocked or deleted. ErrConflict means that the lease was lost and nothing was changed.
func LeaveBatch(ctx context.Context, db bun.IDB, batch uuid.UUID, lease int, leaving []QueuedDelivery) error {
	if len(leaving) == 0 {
		return nil
	}
	err := pg.InTx(ctx, db, func(ctx context.Context, tx bun.Tx) error {
		ids := make([]uuid.UUID, len(leaving))
		for i, q := range leaving {
			ids[i] = q.DeliveryID
		}
		err := pg.One(pg.Direct(tx).ExecContext(ctx, `UPDATE delivery_batches
			SET deliveries = ARRAY(SELECT unnest(deliveries) EXCEPT SELECT unnest($2::uuid[]))
			WHERE id = $1 AND lease = $3`, batch, ids, lease))
		if errors.Is(err, pg.ErrNotFound) {
			return pg.ErrConflict
		}
		if err != nil {
			return err
		}
		if _, err := pauseOrCancel(ctx, tx, leaving, waitForLocks); err != nil {
			return err
		}
		notify(tx)
		return nil
	})
	if err != nil {
		return fmt.Errorf("leave batch: %w", err)
	}
	return nil
}

// ResendDeliveries requeues ended deliveries, with the next generation.
func ResendDeliveries(ctx context.Context, db bun.IDB, again []QueuedDelivery) error {
	if len(again) == 0 {
		return nil
	}
	ids := make([]uuid.UUID, len(again))
	for i, q := range again {
		ids[i] = q.DeliveryID
	}
	err := pg.InTx(ctx, db, func(ctx context.Context, tx bun.Tx) error {
		if _, err := requeue(ctx, tx, ids); err != nil {
			return err
		}
		notify(tx)
		return nil
	})
	if err != nil {
		return fmt.Errorf("resend deliveries: %w", err)
	}
	return nil
}

// LoadBatch reads the deliveries that are still in a batch, with Done set on those that this workflow run has recorded.
// With replay it reads b.Deliveries instead, whether or not they have left the batch. It leaves out erased deliveries,
// and does not read webhooks: see LoadWebhooks.
func LoadBatch(ctx context.Context, db bun.IDB, b Batch, run uuid.UUID, replay bool) (work []*Work, err error) {
	work, err = loadWork(ctx, db, b, run, replay)
	if err != nil {
		return nil, fmt.Errorf("load batch: %w", err)
	}
	return work, nil
}

// LoadTaken is LoadBatch for deliveries that were just taken from the queue and never attempted. It reads only their
// events.
func LoadTaken(ctx context.Context, db bun.IDB, taken []QueuedDelivery) (work []*Work, err error) {
	events := map[uuid.UUID]*Event{}
	for i := range taken {
		q := &taken[i]
		events[q.eventID] = nil
		work = append(work, &Work{Delivery: Delivery{
			ID: q.DeliveryID, EventID: q.eventID, WebhookID: q.WebhookID, CompanyID: q.CompanyID,
			Status: Pending, IsTest: q.IsTest, Generation: q.Generation,
		}, TokenUntil: q.TokenUntil})
	}
	if err := loadEvents(ctx, db, events); err != nil {
		return nil, fmt.Errorf("load taken deliveries: %w", err)
	}
	return withEvents(work, events), nil
}

// withEvents sets the events of deliveries. A delivery whose event retention has dropped is left out.
func withEvents(all []*Work, events map[uuid.UUID]*Event) (work []*Work) {
	for _, j := range all {
		if e := events[j.Delivery.EventID]; e != nil {
			j.Event = *e
			j.Event.CompanyID = j.Delivery.CompanyID
			work = append(work, j)
		}
	}
	return work
}

// loadWork reads one table at a time, by known ids: the plan of a join would include all partitions of the tables.
func loadWork(ctx context.Context, db bun.IDB, b Batch, run uuid.UUID, replay bool) (work []*Work, err error) {
	ids := b.Deliveries
	if !replay {
		if ids, err = queryIDs(ctx, db, "SELECT unnest(deliveries) FROM delivery_batches WHERE id = $1", b.ID); err != nil {
			return nil, err
		}
	}
	all, err := loadDeliveries(ctx, db, ids)
	if err != nil {
		return nil, err
	}
	events, attempted := map[uuid.UUID]*Event{}, []uuid.UUID(nil)
	for _, j := range all {
		events[j.Delivery.EventID] = nil
		if j.Delivery.Attempts > 0 {
			attempted = append(attempted, j.Delivery.ID)
		}
	}
	if err := loadEvents(ctx, db, events); err != nil {
		return nil, err
	}
	done, err := recordedFirst(ctx, db, attempted, run)
	if err != nil {
		return nil, err
	}
	work = withEvents(all, events)
	for _, j := range work {
		if startedAt, ok := done[j.Delivery.ID]; ok {
			j.Done = &Attempt{DeliveryID: j.Delivery.ID, RunID: run, Attempt: 1, StartedAt: startedAt}
		}
	}
	return work, nil
}

// recordedFirst returns the start of each first attempt that a run recorded, of any generation.
func recordedFirst(
	ctx context.Context, db bun.IDB, ids []uuid.UUID, run uuid.UUID,
) (startedAt map[uuid.UUID]time.Time, err error) {
	if len(ids) == 0 {
		return nil, nil
	}
	rows, err := pg.Direct(db).QueryContext(ctx, `SELECT delivery_id, started_at FROM attempts
		WHERE delivery_id = ANY ($1) AND run_id = $2 AND attempt = 1`, pgIDs(ids), run)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // rows.Err reports its error
	startedAt = map[uuid.UUID]time.Time{}
	for rows.Next() {
		var id uuid.UUID
		var at time.Time
		if err := rows.Scan(&id, &at); err != nil {
			return nil, err
		}
		startedAt[id] = at
	}
	return startedAt, rows.Err()
}

func loadDeliveries(ctx context.Context, db bun.IDB, ids []uuid.UUID) (work []*Work, err error) {
	rows, err := pg.Direct(db).
		QueryContext(ctx, `SELECT id, event_id, webhook_id, company_id, status, is_test, generation, attempts, body
		FROM deliveries WHERE id = ANY ($1) AND erased_at IS NULL`, pgIDs(ids))
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // rows.Err reports its error
	for rows.Next() {
		j := new(Work)
		d := &j.Delivery
		if err := rows.Scan(
			&d.ID,
			&d.EventID,
			&d.WebhookID,
			&d.CompanyID,
			&d.Status,
			&d.IsTest,
			&d.Generation,
			&d.Attempts,
			&d.Body,
		); err != nil {
			return nil, err
		}
		work = append(work, j)
	}
	return work, rows.Err()
}

// loadEvents reads the events whose ids are the keys of the map, and sets its values.
func loadEvents(ctx context.Context, db bun.IDB, events map[uuid.UUID]*Event) error {
	rows, err := pg.Direct(db).
		QueryContext(ctx, `SELECT id, type, data, occurred_at, context, subject, sequence,
			COALESCE(request_id, ''), COALESCE(trace_context, '') FROM events WHERE id = ANY ($1)`,
			pgIDs(slices.Collect(maps.Keys(events))))
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }() // rows.Err reports its error
	for rows.Next() {
		e, data, eventContext := new(Event), "", sql.NullString{}
		if err := rows.Scan(&e.ID, &e.Type, &data, &e.OccurredAt, &eventContext, &e.Subject, &e.Sequence,
			&e.RequestID, &e.Trace); err != nil {
			return err
		}
		e.Data = json.RawMessage(data)
		if eventContext.Valid {
			e.Context = json.RawMessage(eventContext.String)
		}
		events[e.ID] = e
	}
	return rows.Err()
}

// queryIDs returns a column of ids. It sends nothing when the first argument is an empty list of ids.
func queryIDs(ctx context.Context, db bun.IDB, query string, args ...any) (ids []uuid.UUID, err error) {
	if among, ok := args[0].([]uuid.UUID); ok && len(among) == 0 {
		return nil, nil
	}
	rows, err := pg.Direct(db).QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // rows.Err reports its error
	for rows.Next() {
		var id uuid.UUID
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, rows.Err()
}

// LoadWebhooks reads webhooks by id, including deleted ones.
func LoadWebhooks(ctx context.Context, db bun.IDB, ids []uuid.UUID) (map[uuid.UUID]*Webhook, error) {
	var hooks []*Webhook
	if err := db.NewSelect().Model(&hooks).Where("w.id IN (?)", bun.List(ids)).Scan(ctx); err != nil {
		return nil, fmt.Errorf("load webhooks: %w", err)
	}
	byID := make(map[uuid.UUID]*Webhook, len(hooks))
	for _, w := range hooks {
		byID[w.ID] = w
	}
	return byID, nil
}

// RecordSuccesses stores many successful first attempts, of any batches, in one statement, and sets their webhooks'
// consecutive failures to 0. Storing an attempt again changes nothing. RecordAttempt stores failed attempts.
func RecordSuccesses(ctx context.Context, db *bun.DB, rs []AttemptRecord) error {
	sorted := slices.SortedFunc(slices.Values(rs), func(a, b AttemptRecord) int { // locks rows in the order of ids
		return bytes.Compare(a.Attempt.DeliveryID[:], b.Attempt.DeliveryID[:])
	})
	_, err := pg.Direct(db).ExecContext(ctx, successesSQL.SQL, successesSQL.Args(columnsOf(sorted))...)
	if err != nil {
		return fmt.Errorf("record attempts: %w", err)
	}
	return nil
}

// columnsOf returns the arguments of successesSQL: an array for each column, and the webhooks of those that count.
func columnsOf(rs []AttemptRecord) pg.Args {
	n := len(rs)
	deliveries, runs, workflows := make([]pgtype.UUID, n), make([]pgtype.UUID, n), make([]string, n)
	generations, durations, startedAt := make([]int, n), make([]int, n), make([]time.Time, n)
	statusCodes, responses, bodies := make([]*int, n), make([]*string, n), make([][]byte, n)
	var webhooks []pgtype.UUID
	seen := map[uuid.UUID]bool{}
	for i := range rs {
		a := &rs[i].Attempt
		deliveries[i], runs[i], workflows[i] = pgID(a.DeliveryID), pgID(a.RunID), a.WorkflowID
		generations[i], durations[i], startedAt[i] = a.Generation, a.DurationMS, a.StartedAt
		statusCodes[i], responses[i], bodies[i] = a.StatusCode, a.Response, rs[i].Body
		if id := rs[i].WebhookID; rs[i].Counts && !seen[id] {
			seen[id] = true
			webhooks = append(webhooks, pgID(id))
		}
	}
	return pg.Args{
		"deliveries": deliveries, "runs": runs, "workflows": workflows, "generations": generations,
		"started_at": startedAt, "duration_ms": durations, "status_codes": statusCodes, "responses": responses,
		"bodies": bodies, "webhooks": webhooks,
	}
}

var successesSQL = pg.Named(`
WITH r AS (
  SELECT * FROM unnest(@deliveries::uuid[], @runs::uuid[], @workflows::text[], @generations::int[],
      @started_at::timestamptz[], @duration_ms::int[], @status_codes::int[], @responses::text[], @bodies::bytea[])
    AS r (delivery_id, run_id, workflow_id, generation, started_at, duration_ms, status_code, response, body)
), a AS (
  INSERT INTO attempts (delivery_id, run_id, attempt, generation, workflow_id, started_at, duration_ms, outcome,
    status_code, response)
  SELECT delivery_id, run_id, 1, generation, workflow_id, started_at, duration_ms, 'succeeded', status_code,
    response FROM r
  ON CONFLICT DO NOTHING RETURNING delivery_id, run_id
), w AS (
  UPDATE webhooks SET consecutive_failures = 0, failed_first = 0
  WHERE id = ANY (@webhooks::uuid[]) AND consecutive_failures > 0 AND circuit_opened_at IS NULL
)
UPDATE deliveries d SET status = 'succeeded', attempts = d.attempts + 1, body = COALESCE(d.body, r.body),
  workflow_id = r.workflow_id,
  next_attempt_at = NULL, last_status_code = r.status_code, last_error = NULL, updated_at = clock_timestamp()
FROM r JOIN a USING (delivery_id, run_id)
WHERE d.id = r.delivery_id AND d.generation = r.generation AND d.id = ANY (@deliveries)`)
