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
	// Held: such a transaction takes long.
	Again, Held bool
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
	// database is the one that the rest is about: it may come back as it was earlier.
	database string
	// settled: no transaction can still store an event with this sequence or a lower one.
	settled int64
	// writers were storing events when last was the last sequence. Settle waited for them and they have not ended.
	writers []string
	last    int64
	// held: changes are left that wait for writers.
	held    bool
	changes changeCursor
}

// NewLines returns the Lines of a database.
func NewLines(db *bun.DB) *Lines { return &Lines{db: db} }

// Changed reports whether a line has changed. It may see a change that was committed late only seconds later.
func (l *Lines) Changed(ctx context.Context) (changed bool, err error) {
	if l.held {
		return true, nil
	}
	err = pg.Direct(l.db).
		QueryRowContext(ctx, "SELECT EXISTS (SELECT FROM line_changes WHERE id > $1 ORDER BY id LIMIT 1)",
			l.changes.place(time.Now())).
		Scan(&changed)
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
		*l = Lines{db: l.db}
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
	var database string
	var last int64
	err = pg.Direct(tx).QueryRowContext(ctx, lockLinesSQL, int64(moveLock)).Scan(&mine, &database, &last)
	if err != nil || !mine {
		return LineMoves{Again: true}, err
	}
	if database != l.database || last < l.settled { // another one, or restored to an earlier state
		*l = Lines{db: l.db, database: database}
	}
	changed, err := takeChanges(ctx, tx, l.changes.place(time.Now()), limit)
	if err != nil {
		return m, err
	}
	m.Lines = len(changed.subjects)
	if changed.newest > l.settled || l.held {
		if err := l.settle(ctx, tx); err != nil {
			return m, err
		}
	}
	var left int
	if m.Lines > 0 {
		err = pg.Direct(tx).
			QueryRowContext(ctx, moveLinesSQL, changed.webhooks, changed.subjects, l.settled, changed.ids, changed.lines).
			Scan(&m.Heads, &left)
	}
	l.changes.pass(changed.ids, limit, time.Now())
	l.held = l.held || left > 0
	m.Again, m.Held = l.held || l.changes.restarts(), l.held && len(l.writers) > 0
	return m, err
}

const (
	// lateBy is more than the time between a change and its commit, fullPass is when one that took longer is seen.
	lateBy   = 2 * time.Second
	fullPass = 5 * time.Second
)

// changeCursor is a place among the changes of lines, which are looked at in passes. A pass begins with what is younger
// than lateBy, because PostgreSQL keeps and reads every older change that was deleted while any transaction is open
// that began before. At times it begins with the first one.
type changeCursor struct {
	// after is the last change that the pass has looked at, from where passes begin, mark where they will.
	after, from, mark int64
	within            bool // a pass
	marked, full      time.Time
}

func (c *changeCursor) place(now time.Time) int64 {
	if !c.within && now.Sub(c.full) >= fullPass {
		c.after, c.full = 0, now
	}
	return c.after
}

// pass notes what was looked at, of at most limit changes.
func (c *changeCursor) pass(ids []int64, limit int, now time.Time) {
	for _, id := range ids {
		c.after = max(c.after, id)
	}
	if c.within = len(ids) == limit; c.within {
		return
	}
	if now.Sub(c.marked) >= lateBy {
		c.from, c.mark, c.marked = c.mark, max(c.mark, c.after), now
	}
	c.after = c.from
}

// restart has the next pass begin with the first change.
func (c *changeCursor) restart() { c.within, c.full = false, time.Time{} }

func (c *changeCursor) restarts() bool { return c.full.IsZero() }

// changedLines are lines, each once. Change ids[i] is of the line lines[i], counted from 1.
type changedLines struct {
	webhooks []pgtype.UUID
	subjects []string
	ids      []int64
	lines    []int64
	// newest is the highest sequence that could become a head.
	newest int64
}

// takeChanges returns the lines of the oldest changes after one.
func takeChanges(ctx context.Context, tx bun.Tx, after int64, limit int) (c changedLines, err error) {
	rows, err := pg.Direct(tx).QueryContext(ctx, takeChangesSQL, limit, after)
	if err != nil {
		return c, err
	}
	defer func() { _ = rows.Close() }() // rows.Err reports its error
	for types := pgtype.NewMap(); rows.Next(); {
		var webhook uuid.UUID
		var subject string
		var ids []int64
		var first int64
		if err := rows.Scan(&webhook, &subject, types.SQLScanner(&ids), &first); err != nil {
			return c, err
		}
		c.webhooks, c.subjects = append(c.webhooks, pgID(webhook)), append(c.subjects, subject)
		for _, id := range ids {
			c.ids, c.lines = append(c.ids, id), append(c.lines, int64(len(c.subjects)))
		}
		c.newest = max(c.newest, first)
	}
	return c, rows.Err()
}

// settle raises l.settled to the last sequence that was given out, once every transaction that is storing events now
// has ended. An event with a lower sequence is stored by one of these, or is stored already: the sequence is taken by a
// statement that has locked the table before. Other transactions, however long, do not matter.
func (l *Lines) settle(ctx context.Context, tx bun.Tx) (err error) {
	if len(l.writers) > 0 { // it has waited for these
		if l.writers, err = eventWriters(ctx, tx, l.writers); err == nil && len(l.writers) == 0 {
			l.settledAt(l.last)
		}
		return err
	}
	err = pg.Direct(tx).QueryRowContext(ctx, "SELECT "+lastSequence+" FROM event_sequence").Scan(&l.last)
	if err != nil {
		return err
	}
	if l.writers, err = eventWriters(ctx, tx, nil); err != nil {
		return err
	}
	for end := time.Now().Add(settleWithin); len(l.writers) > 0; {
		if time.Now().After(end) {
			return nil
		}
		select {
		case <-time.After(settlePoll):
		case <-ctx.Done():
			return ctx.Err()
		}
		if l.writers, err = eventWriters(ctx, tx, l.writers); err != nil {
			return err
		}
	}
	l.settledAt(l.last)
	return nil
}

func (l *Lines) settledAt(sequence int64) {
	l.settled = sequence
	if l.held {
		l.held = false
		l.changes.restart()
	}
}

// eventWriters returns the transactions that are storing events, those of among alone unless that is nil.
func eventWriters(ctx context.Context, tx bun.Tx, among []string) (writers []string, err error) {
	err = pg.Direct(tx).QueryRowContext(ctx, eventWritersSQL, among).Scan(pgtype.NewMap().SQLScanner(&writers))
	return writers, err
}

const (
	lastSequence = "CASE WHEN is_called THEN last_value ELSE 0 END"

	// lockLinesSQL also returns what a database that came back from a backup does not share with the one before: the start
	// of its server, its id or that of the sequence, or that the sequence grows.
	lockLinesSQL = `
SELECT pg_try_advisory_xact_lock($1), concat_ws('/', extract(epoch FROM pg_postmaster_start_time()),
  (SELECT oid FROM pg_database WHERE datname = current_database()), 'event_sequence'::regclass::oid),
  ` + lastSequence + `
FROM event_sequence`

	takeChangesSQL = `
WITH c AS MATERIALIZED (
  SELECT id, webhook_id, subject FROM line_changes WHERE id > $2 ORDER BY id LIMIT $1
), l AS MATERIALIZED (
  SELECT webhook_id, subject, array_agg(id) AS ids FROM c GROUP BY webhook_id, subject
)
SELECT l.webhook_id, l.subject, l.ids, COALESCE((
  SELECT first.sequence FROM (` + firstWaiting + `) first
  WHERE NOT EXISTS (SELECT FROM line_heads h WHERE h.webhook_id = l.webhook_id AND h.subject = l.subject)), 0)
FROM l`

	firstWaiting = `
  SELECT w.delivery_id, w.company_id, w.sequence FROM line_waiting w
  WHERE w.webhook_id = l.webhook_id AND w.subject = l.subject
  ORDER BY w.webhook_id, w.subject, w.sequence LIMIT 1`

	// eventWritersSQL are the transactions that are storing events, or changing some.
	eventWritersSQL = `
SELECT COALESCE(array_agg(virtualtransaction), '{}') FROM pg_locks
WHERE ` + storesEvents + ` AND ($1::text[] IS NULL OR virtualtransaction = ANY ($1))`

	// storesEvents is true for a lock of a transaction that is storing events, or changing some.
	storesEvents = `locktype = 'relation' AND relation = 'events'::regclass AND mode = 'RowExclusiveLock'
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND pid IS DISTINCT FROM pg_backend_pid()`

	// moveLinesSQL makes heads of the lines $1 and $2, as far as $3 is settled. It removes them from the waiting first,
	// as leave_line does: a delivery that ends meanwhile is not made a head. Of the changes $4, which are of the lines $5,
	// those of lines that are not settled stay.
	moveLinesSQL = `
WITH first AS MATERIALIZED (
  SELECT l.webhook_id, l.subject, l.line, first.delivery_id, first.sequence
  FROM unnest($1::uuid[], $2::text[]) WITH ORDINALITY AS l (webhook_id, subject, line)
    CROSS JOIN LATERAL (` + firstWaiting + `) first
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
), done AS (
  DELETE FROM line_changes WHERE id = ANY (ARRAY(
    SELECT c.id FROM unnest($4::bigint[], $5::bigint[]) AS c (id, line)
    WHERE c.line <> ALL (ARRAY(SELECT line FROM first WHERE sequence > $3))))
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
	// HeldSince is when the oldest of the transactions began that keep the line from moving: it stores events and may
	// store an earlier one of the subject. nil: none is older than heldAfter.
	HeldSince *time.Time
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
		return &l, nil
	}
	open, err := OpenTransactions(ctx, db, heldAfter)
	if err != nil {
		return nil, err
	}
	if len(open) > 0 && open[0].Stores {
		l.HeldSince = open[0].Since
	}
	return &l, nil
}
