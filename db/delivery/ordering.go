package delivery

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/uptrace/bun"

	"greenroom/db/pg"
)

// BySubject is the ordering of a webhook that gets the events of a subject one after the other, in the order of their
// sequence: a later one is not sent before the earlier one has ended. Other subjects do not wait.
const BySubject = "subject"

// A line is what waits for one subject at one webhook with ordering. Its deliveries join it in the transaction of their
// event (line_waiting), and leave it by a trigger of table deliveries, in the statement that ends them. Only the head
// of a line (line_heads) is in the queue or beyond, so batches, streams, workflows, circuits and kills need not know of
// lines: there is nothing of the line that they could send too early.
//
// Each change of a line is a row of line_changes, in the same transaction. MoveLines makes the first of the waiting
// deliveries the head of a line that has none. It needs no order of commits: whatever it did not see yet has a row that
// it will see.

// LineMoves is what one call of MoveLines did.
type LineMoves struct {
	// Lines were looked at. Heads of them went to the queue.
	Lines, Heads int
	// Again: another worker moves lines now, or a transaction that stores events has not ended. Lines may be left.
	Again bool
}

const (
	// moveLock is held while lines are moved: two workers at it would choose the same heads.
	moveLock = partitionLock + 1
	// moveIdle bounds how long a frozen worker keeps the others from moving lines.
	moveIdle = 2 * time.Second
	// settleWithin is how long MoveLines waits for the transactions that were storing events. They take milliseconds.
	settleWithin = 100 * time.Millisecond
	settlePoll   = time.Millisecond
)

// Lines moves the lines of a database. It is not safe for concurrent use.
type Lines struct {
	db *bun.DB
	// settled: no transaction can still store an event with this sequence or a lower one.
	settled int64
}

// NewLines returns the Lines of a database.
func NewLines(db *bun.DB) *Lines { return &Lines{db: db} }

// Changed reports whether a line has changed.
func (l *Lines) Changed(ctx context.Context) (changed bool, err error) {
	err = pg.Direct(l.db).QueryRowContext(ctx, "SELECT EXISTS (SELECT FROM line_changes)").Scan(&changed)
	if err != nil {
		return false, fmt.Errorf("look for changed lines: %w", err)
	}
	return changed, nil
}

// Move looks at up to limit changes of lines, and queues the first delivery of each line that has no head.
func (l *Lines) Move(ctx context.Context, limit int) (m LineMoves, err error) {
	err = pg.InTx(ctx, l.db, func(ctx context.Context, tx bun.Tx) error {
		m, err = l.move(ctx, tx, limit)
		return err
	})
	if err != nil {
		l.settled = 0 // the database may come back as it was earlier
		return LineMoves{}, fmt.Errorf("move lines: %w", err)
	}
	return m, nil
}

func (l *Lines) move(ctx context.Context, tx bun.Tx, limit int) (m LineMoves, err error) {
	if err := planByIndex(ctx, tx); err != nil {
		return m, err
	}
	_, err = tx.ExecContext(ctx, "SET LOCAL idle_in_transaction_session_timeout = ?", moveIdle.Milliseconds())
	if err != nil {
		return m, err
	}
	var mine bool
	err = pg.Direct(tx).QueryRowContext(ctx, "SELECT pg_try_advisory_xact_lock($1)", int64(moveLock)).Scan(&mine)
	if err != nil || !mine {
		return LineMoves{Again: true}, err
	}
	webhooks, subjects, newest, err := takeChanges(ctx, tx, limit)
	if m.Lines = len(webhooks); err != nil || m.Lines == 0 {
		return m, err
	}
	if newest > l.settled {
		if err := l.settle(ctx, tx); err != nil {
			return m, err
		}
	}
	var left int
	err = pg.Direct(tx).QueryRowContext(ctx, moveLinesSQL, webhooks, subjects, l.settled).Scan(&m.Heads, &left)
	m.Again = left > 0
	return m, err
}

// takeChanges returns the lines of the oldest changes, each once, and the highest sequence that could become a head.
func takeChanges(ctx context.Context, tx bun.Tx, limit int) (
	webhooks []pgtype.UUID, subjects []string, newest int64, err error,
) {
	rows, err := pg.Direct(tx).QueryContext(ctx, takeChangesSQL, limit)
	if err != nil {
		return nil, nil, 0, err
	}
	defer func() { _ = rows.Close() }() // rows.Err reports its error
	for rows.Next() {
		var webhook uuid.UUID
		var subject string
		var first int64
		if err := rows.Scan(&webhook, &subject, &first); err != nil {
			return nil, nil, 0, err
		}
		webhooks, subjects = append(webhooks, pgID(webhook)), append(subjects, subject)
		newest = max(newest, first)
	}
	return webhooks, subjects, newest, rows.Err()
}

// settle raises l.settled to the last sequence that was given out, once every transaction that is storing events now
// has ended. An event with a lower sequence is stored by one of these, or is stored already: the sequence is taken by a
// statement that has locked the table before. Other transactions, however long, do not matter.
func (l *Lines) settle(ctx context.Context, tx bun.Tx) error {
	var last int64
	err := pg.Direct(tx).QueryRowContext(ctx, "SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM event_sequence").
		Scan(&last)
	if err != nil {
		return err
	}
	if last < l.settled { // the database was restored to an earlier state
		l.settled = 0
	}
	var writers []string
	if err := pg.Direct(tx).QueryRowContext(ctx, eventWritersSQL).Scan(pgtype.NewMap().SQLScanner(&writers)); err != nil {
		return err
	}
	for end := time.Now().Add(settleWithin); len(writers) > 0; {
		if time.Now().After(end) {
			return nil
		}
		select {
		case <-time.After(settlePoll):
		case <-ctx.Done():
			return ctx.Err()
		}
		err := pg.Direct(tx).QueryRowContext(ctx, eventWritersSQL+" AND virtualtransaction = ANY ($1)", writers).
			Scan(pgtype.NewMap().SQLScanner(&writers))
		if err != nil {
			return err
		}
	}
	l.settled = last
	return nil
}

const (
	takeChangesSQL = `
WITH c AS (
  DELETE FROM line_changes WHERE id = ANY (ARRAY(SELECT id FROM line_changes ORDER BY id LIMIT $1))
  RETURNING webhook_id, subject
), l AS MATERIALIZED (
  SELECT DISTINCT webhook_id, subject FROM c
)
SELECT l.webhook_id, l.subject, first.sequence FROM l CROSS JOIN LATERAL (` + firstWaiting + `) first
WHERE NOT EXISTS (SELECT FROM line_heads h WHERE h.webhook_id = l.webhook_id AND h.subject = l.subject)`

	firstWaiting = `
  SELECT w.delivery_id, w.company_id, w.sequence FROM line_waiting w
  WHERE w.webhook_id = l.webhook_id AND w.subject = l.subject
  ORDER BY w.webhook_id, w.subject, w.sequence LIMIT 1`

	// eventWritersSQL are the transactions that are storing events, or changing some.
	eventWritersSQL = `
SELECT COALESCE(array_agg(virtualtransaction), '{}') FROM pg_locks
WHERE locktype = 'relation' AND relation = 'events'::regclass AND mode = 'RowExclusiveLock'
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND pid IS DISTINCT FROM pg_backend_pid()`

	// moveLinesSQL makes heads of the lines $1 and $2, as far as $3 is settled. It removes them from the waiting first,
	// as leave_line does: a delivery that ends meanwhile is not made a head. Lines that are not settled stay changed.
	moveLinesSQL = `
WITH first AS MATERIALIZED (
  SELECT l.webhook_id, l.subject, first.delivery_id, first.sequence
  FROM unnest($1::uuid[], $2::text[]) AS l (webhook_id, subject) CROSS JOIN LATERAL (` + firstWaiting + `) first
  WHERE NOT EXISTS (SELECT FROM line_heads h WHERE h.webhook_id = l.webhook_id AND h.subject = l.subject)
), moved AS (
  DELETE FROM line_waiting
  WHERE delivery_id = ANY (ARRAY(SELECT delivery_id FROM first WHERE sequence <= $3::bigint))
  RETURNING webhook_id, subject, delivery_id, company_id
), heads AS (
  INSERT INTO line_heads (webhook_id, subject, delivery_id) SELECT webhook_id, subject, delivery_id FROM moved
), queued AS (
  INSERT INTO delivery_queue (webhook_id, company_id, delivery_id) SELECT webhook_id, company_id, delivery_id FROM moved
  ON CONFLICT DO NOTHING
), again AS (
  INSERT INTO line_changes (webhook_id, subject) SELECT webhook_id, subject FROM first WHERE sequence > $3
)
SELECT (SELECT count(*) FROM moved), (SELECT count(*) FROM first WHERE sequence > $3)`
)

// Unblock lets the lines of a webhook go on that wait for a delivery which failed for good.
func Unblock(ctx context.Context, tx bun.Tx, webhook uuid.UUID) error {
	_, err := pg.Direct(tx).ExecContext(ctx, `
WITH h AS (
  DELETE FROM line_heads WHERE webhook_id = $1 AND blocked RETURNING webhook_id, subject
)
INSERT INTO line_changes (webhook_id, subject) SELECT webhook_id, subject FROM h`, webhook)
	if err != nil {
		return fmt.Errorf("unblock subjects: %w", err)
	}
	notify(tx)
	return nil
}

// TidyLines makes deliveries that are no longer kept leave their lines, and has every line with waiting ones looked at.
func TidyLines(ctx context.Context, db bun.IDB) error {
	_, err := pg.Direct(db).ExecContext(ctx, `
WITH gone AS (
  DELETE FROM line_heads h WHERE NOT EXISTS (SELECT FROM deliveries d WHERE d.id = h.delivery_id)
), waiting AS (
  DELETE FROM line_waiting w WHERE NOT EXISTS (SELECT FROM deliveries d WHERE d.id = w.delivery_id)
)
INSERT INTO line_changes (webhook_id, subject)
SELECT DISTINCT webhook_id, subject FROM line_waiting`)
	if err != nil {
		return fmt.Errorf("tidy lines: %w", err)
	}
	return nil
}

// Line says what a delivery waits for, or that it keeps others waiting.
type Line struct {
	Subject string
	// Behind is the delivery that is under way or blocks the line; nil: none is, so the line is about to move.
	Behind *uuid.UUID
	// Blocked: that delivery failed for good, and the webhook's ordering is to wait for it.
	Blocked bool
}

// LineOf returns what a pending delivery waits for, or the line that a failed one blocks; otherwise nil.
func LineOf(ctx context.Context, db bun.IDB, d *Delivery) (*Line, error) {
	query := `SELECT h.delivery_id, COALESCE(h.blocked, false)
		FROM line_waiting w LEFT JOIN line_heads h ON h.webhook_id = w.webhook_id AND h.subject = w.subject
		WHERE w.delivery_id = $1 AND w.webhook_id = $2 AND w.subject = $3`
	switch {
	case d.Subject == nil || d.Status != Pending && d.Status != Failed:
		return nil, nil
	case d.Status == Failed:
		query = `SELECT h.delivery_id, h.blocked FROM line_heads h
			WHERE h.delivery_id = $1 AND h.webhook_id = $2 AND h.subject = $3 AND h.blocked`
	}
	l := Line{Subject: *d.Subject}
	var behind uuid.NullUUID
	err := pg.Direct(db).QueryRowContext(ctx, query, d.ID, d.WebhookID, *d.Subject).Scan(&behind, &l.Blocked)
	err = pg.Translate(err)
	if errors.Is(err, pg.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look up a line: %w", err)
	}
	if behind.Valid {
		l.Behind = &behind.UUID
	}
	return &l, nil
}
