package delivery

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/db/pg"
)

// StreamStaleAfter is how long after its last renewal another worker may take a stream over. A worker begins no attempt
// once it has not renewed its stream for StreamRenewWithin, so that the two never attempt the same deliveries.
const (
	StreamStaleAfter  = 6 * time.Second
	StreamRenewWithin = 4 * time.Second
)

// streamLostAfter is when the batches of a stream that is not renewed get workflows of their own. It leaves Temporal
// the time to give the stream to another worker.
const streamLostAfter = 30 * time.Second

// LeaseStream makes the caller the owner of a stream and returns its lease. ErrConflict means that another worker
// renewed it within StreamStaleAfter.
func LeaseStream(ctx context.Context, db bun.IDB, id uuid.UUID) (lease int, err error) {
	err = pg.Direct(db).QueryRowContext(ctx, `INSERT INTO delivery_streams AS s (id) VALUES ($1)
		ON CONFLICT (id) DO UPDATE SET lease = s.lease + 1, seen_at = now(), ended_at = NULL
		WHERE s.ended_at IS NOT NULL OR s.seen_at < now() - $2 * interval '1 ms' RETURNING lease`,
		id, StreamStaleAfter.Milliseconds()).Scan(&lease)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, pg.ErrConflict
	}
	if err != nil {
		return 0, fmt.Errorf("lease stream: %w", err)
	}
	return lease, nil
}

// StreamRenewal is what a worker reports of its stream.
type StreamRenewal struct {
	ID    uuid.UUID
	Lease int
	// Finished are batches of which nothing is left to record: they are deleted.
	Finished []uuid.UUID
	// First and Last bound the ids of the deliveries that the stream was given; zero when it was given none.
	First, Last uuid.UUID
	// End: the stream has no more batches.
	End bool
}

// RenewStream renews a lease. ErrConflict means that another worker has the stream: nothing was changed.
func RenewStream(ctx context.Context, db bun.IDB, r StreamRenewal) error {
	var renewed bool
	err := pg.Direct(db).QueryRowContext(ctx, `WITH s AS (
			UPDATE delivery_streams SET seen_at = now(), ended_at = CASE WHEN $6 THEN now() END,
				first_delivery = LEAST(first_delivery, NULLIF($4::uuid, $7)),
				last_delivery = GREATEST(last_delivery, NULLIF($5::uuid, $7))
			WHERE id = $1 AND lease = $2 RETURNING id
		), b AS (
			DELETE FROM delivery_batches WHERE id = ANY ($3::uuid[]) AND EXISTS (SELECT FROM s)
		) SELECT EXISTS (SELECT FROM s)`,
		r.ID, r.Lease, r.Finished, r.First, r.Last, r.End, uuid.Nil).Scan(&renewed)
	if err != nil {
		return fmt.Errorf("renew stream: %w", err)
	}
	if !renewed {
		return pg.ErrConflict
	}
	return nil
}

// StreamBatches returns the stream's batches that are older than age. They have all deliveries that the stream was
// given since its last renewal.
func StreamBatches(ctx context.Context, db bun.IDB, stream uuid.UUID, age time.Duration) (bs []Batch, err error) {
	err = db.NewRaw(`SELECT id, deliveries::text[] FROM delivery_batches
		WHERE stream_id = ? AND created_at <= now() - ? * interval '1 ms' ORDER BY id`, stream, age.Milliseconds()).
		Scan(ctx, &bs)
	if err != nil {
		return nil, fmt.Errorf("read batches of stream: %w", err)
	}
	return bs, nil
}

// ResendStream requeues the next deliveries that a stream's workflow attempted and that have ended, in whichever
// workflow, with the next generation. It returns how many, and the last id of the page: after for the next call. n is
// less than limit when none is left.
func ResendStream(
	ctx context.Context, db bun.IDB, stream uuid.UUID, workflow string, after uuid.UUID, limit int,
) (last uuid.UUID, n int, err error) {
	err = pg.InTx(ctx, db, func(ctx context.Context, tx bun.Tx) error {
		var from, to uuid.NullUUID
		err := pg.Direct(tx).QueryRowContext(ctx, "SELECT first_delivery, last_delivery FROM delivery_streams WHERE id = $1",
			stream).Scan(&from, &to)
		if errors.Is(err, sql.ErrNoRows) || err == nil && !from.Valid {
			return nil // it attempted nothing, or retention has dropped it
		}
		if err != nil {
			return err
		}
		ids, err := queryIDs(ctx, tx, `SELECT id FROM deliveries d WHERE id >= $1 AND id <= $2 AND id > $3
			AND status IN ('succeeded', 'failed') AND EXISTS (SELECT FROM attempts a
				WHERE a.delivery_id = d.id AND a.workflow_id = $4 AND a.generation = d.generation)
			ORDER BY id LIMIT $5`,
			from.UUID, to.UUID, after, workflow, limit)
		if err != nil || len(ids) == 0 {
			return err
		}
		last, n = ids[len(ids)-1], len(ids)
		if _, err := requeue(ctx, tx, ids); err != nil {
			return err
		}
		notify(tx)
		return nil
	})
	if err != nil {
		return last, 0, fmt.Errorf("resend the deliveries of a stream: %w", err)
	}
	return last, n, nil
}

// DropStreams deletes the rows of streams that ended before `before` or, without batches, were not renewed since. Their
// deliveries are no longer kept.
func DropStreams(ctx context.Context, db bun.IDB, before time.Time) error {
	_, err := db.ExecContext(ctx, `DELETE FROM delivery_streams s WHERE s.seen_at < ?
		AND NOT EXISTS (SELECT FROM delivery_batches b WHERE b.stream_id = s.id)`, before)
	if err != nil {
		return fmt.Errorf("drop streams: %w", err)
	}
	return nil
}
