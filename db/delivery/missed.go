package delivery

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/db/pg"
)

// A catch-up is a replay that makes deliveries: those of events that a webhook is subscribed to and has none of,
// because it was created or activated, or its events were changed, after the event. It reads the feed, so it misses no
// event that was committed late. The id of a delivery that it makes follows from event and webhook, and has the time of
// the event: a second catch-up makes none twice.

// CreateCatchUp stores a new catch-up of a webhook with events since a time, and has its workflow started. Until is
// now: later events had their delivery, if the webhook is active.
func CreateCatchUp(ctx context.Context, tx bun.Tx, r *Replay) error {
	s, err := loadFeedState(ctx, tx)
	if err != nil {
		return fmt.Errorf("create catch-up: %w", err)
	}
	r.Missed, r.Statuses, r.Events = true, []string{}, []string{}
	r.Until, r.UntilPosition = time.Now().UTC(), s.ahead
	return CreateReplay(ctx, tx, r)
}

const (
	// missedLooks limits the events that a page of a catch-up looks at.
	missedLooks = 10_000
	// fanOutWithin is how far the times in the ids of an event and its delivery may differ: they are made in one
	// transaction, by clocks of two hosts.
	fanOutWithin = 10 * time.Minute
	// countPages and countFor limit CountMissed.
	countPages = 100
	countFor   = 5 * time.Second
)

// CountMissed returns how many deliveries a catch-up would make now. It looks at a million events and for 5 s at most;
// complete is false when there are more.
func CountMissed(
	ctx context.Context, db bun.IDB, webhook uuid.UUID, since time.Time,
) (n int, complete bool, err error) {
	r := Replay{WebhookID: webhook, Since: since, Until: time.Now(), Missed: true}
	end := time.Now().Add(countFor)
	for page := 0; page < countPages && !complete && time.Now().Before(end); page++ {
		err = pg.InTx(ctx, db, func(ctx context.Context, tx bun.Tx) error {
			if r.UntilPosition == 0 {
				s, err := loadFeedState(ctx, tx)
				if err != nil {
					return err
				}
				r.UntilPosition = s.ahead
			}
			p, err := r.lookMissed(ctx, tx, missedLooks)
			if err != nil {
				return err
			}
			n += len(p.events)
			r.moveTo(p.next)
			complete = !p.more
			return nil
		})
		if err != nil {
			return 0, false, fmt.Errorf("count missed deliveries: %w", err)
		}
	}
	return n, complete, nil
}

// missedPage is what a page of a catch-up found.
type missedPage struct {
	events []uuid.UUID
	next   FeedCursor
	// more: there are events to look at. end: none can come any more. settled: all transactions that had begun before the
	// catch-up have ended.
	more, end, settled bool
}

func (r *Replay) moveTo(at FeedCursor) { r.Position, r.Cursor = at.Position, &at.ID }

// lookMissed finds the next events, at most limit, that the webhook has no delivery of.
func (r *Replay) lookMissed(ctx context.Context, tx bun.Tx, limit int) (p missedPage, err error) {
	w, err := GetWebhook(ctx, tx, r.WebhookID)
	if errors.Is(err, pg.ErrNotFound) {
		return missedPage{end: true}, nil
	}
	if err != nil {
		return p, err
	}
	s, err := loadFeedState(ctx, tx)
	if err != nil {
		return p, err
	}
	if err := planByIndex(ctx, tx); err != nil {
		return p, err
	}
	if s.settled < r.UntilPosition {
		if s.settled, err = settledHere(ctx, tx); err != nil {
			return p, err
		}
	}
	q := FeedQuery{
		Company: w.Company(), Types: w.Events, After: FeedCursor{Position: r.Position}, Limit: missedLooks,
		since: pg.FloorID(r.Since), until: pg.FloorID(r.Until), missedBy: r.WebhookID, filterPath: w.FilterPath,
	}
	if r.Cursor != nil {
		q.After.ID = *r.Cursor
	}
	places, page, err := q.look(ctx, tx, min(s.settled, r.UntilPosition))
	if err != nil {
		return p, err
	}
	missed, err := withoutDelivery(ctx, tx, r.WebhookID, places)
	if err != nil {
		return p, err
	}
	p.next, p.more = page.Next, page.More
	if len(missed) > limit {
		missed = missed[:limit]
		p.next, p.more = missed[limit-1], true
	}
	p.settled = s.settled >= r.UntilPosition
	p.end = !p.more && p.settled
	for _, place := range missed {
		p.events = append(p.events, place.ID)
	}
	return p, nil
}

// withoutDelivery returns the events that the webhook has no delivery of. It reads the webhook's deliveries of the time
// of the events.
func withoutDelivery(
	ctx context.Context, tx bun.Tx, webhook uuid.UUID, events []FeedCursor,
) (missed []FeedCursor, err error) {
	if len(events) == 0 {
		return nil, nil
	}
	byID := func(a, b FeedCursor) int { return bytes.Compare(a.ID[:], b.ID[:]) }
	first, last := slices.MinFunc(events, byID).ID, slices.MaxFunc(events, byID).ID
	rows, err := pg.Direct(tx).QueryContext(ctx, `SELECT event_id FROM deliveries
		WHERE (webhook_id, id) >= ($1::uuid, $2::uuid) AND (webhook_id, id) < ($1, $3::uuid) AND id >= $2 AND id < $3
		ORDER BY webhook_id, id`, pgID(webhook),
		pgID(pg.FloorID(pg.TimeOf(first).Add(-fanOutWithin))), pgID(pg.FloorID(pg.TimeOf(last).Add(fanOutWithin))))
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // rows.Err reports its error
	delivered := map[uuid.UUID]bool{}
	for rows.Next() {
		var id uuid.UUID
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		delivered[id] = true
	}
	for _, place := range events {
		if !delivered[place.ID] {
			missed = append(missed, place)
		}
	}
	return missed, rows.Err()
}

// makeMissed makes the deliveries of the next page of a catch-up.
func (r *Replay) makeMissed(ctx context.Context, tx bun.Tx, limit int, ordered bool) (n int, end bool, err error) {
	p, err := r.lookMissed(ctx, tx, limit)
	if err != nil {
		return 0, false, err
	}
	if ordered && !p.settled {
		return 0, false, nil // one of these transactions may store what belongs before this page
	}
	r.moveTo(p.next)
	if len(p.events) == 0 {
		return 0, p.end, nil
	}
	if ordered {
		early, err := r.belongBefore(ctx, tx, p.events)
		if err != nil {
			return 0, false, err
		}
		p.events = append(p.events, early...)
	}
	ids := make([]uuid.UUID, len(p.events))
	for i, event := range p.events {
		ids[i] = missedID(event, r.WebhookID)
	}
	err = pg.Direct(tx).
		QueryRowContext(ctx, makeMissedSQL, pgIDs(p.events), pgIDs(ids), pgID(r.WebhookID), pgID(uuid.Nil)).
		Scan(&n)
	return n, p.end, err
}

// belongBefore finds what must come with a page of events, so that the order of subjects holds: of the next events,
// those with a lower sequence than one of the same subject in the page. In the feed they are later only because their
// transactions began later, so they are among the missedLooks events that follow. The catch-up comes to them again, and
// finds them made.
func (r *Replay) belongBefore(ctx context.Context, tx bun.Tx, page []uuid.UUID) ([]uuid.UUID, error) {
	next, err := r.lookMissed(ctx, tx, missedLooks)
	if err != nil || len(next.events) == 0 {
		return nil, err
	}
	return queryIDs(ctx, tx, belongBeforeSQL, pgIDs(page), pgIDs(next.events))
}

const belongBeforeSQL = `
WITH page AS MATERIALIZED (
  SELECT subject, max(sequence) AS top FROM events WHERE id = ANY ($1::uuid[]) AND subject IS NOT NULL
  GROUP BY subject
)
SELECT e.id FROM events e JOIN page p ON p.subject = e.subject
WHERE e.id = ANY ($2::uuid[]) AND e.sequence < p.top`

const makeMissedSQL = `
WITH d AS (
  INSERT INTO deliveries (id, event_id, webhook_id, company_id, event_type, is_test, created_at, updated_at, subject,
    sequence)
  SELECT m.id, e.id, w.id, e.company_id, e.type, false, now(), now(),
    CASE WHEN w.ordering IS NOT NULL THEN e.subject END, CASE WHEN w.ordering IS NOT NULL THEN e.sequence END
  FROM unnest($1::uuid[], $2::uuid[]) AS m (event_id, id) JOIN events e ON e.id = m.event_id
    JOIN webhooks w ON w.id = $3 AND w.deleted_at IS NULL
  ON CONFLICT DO NOTHING
  RETURNING id, webhook_id, company_id, subject, sequence
), q AS (
  INSERT INTO delivery_queue (webhook_id, company_id, delivery_id)
  SELECT webhook_id, COALESCE(company_id, $4), id FROM d WHERE subject IS NULL
), line AS (
  INSERT INTO line_waiting (delivery_id, webhook_id, subject, sequence, company_id)
  SELECT id, webhook_id, subject, sequence, COALESCE(company_id, $4) FROM d WHERE subject IS NOT NULL
), change AS (
  INSERT INTO line_changes (webhook_id, subject) SELECT DISTINCT webhook_id, subject FROM d WHERE subject IS NOT NULL
)
SELECT count(*)::int FROM d`

// missedID is the id of the delivery of an event that a webhook missed. It sorts as the event does.
func missedID(event, webhook uuid.UUID) uuid.UUID {
	sum := sha256.Sum256(append(event[:], webhook[:]...))
	id := uuid.UUID(sum[:16])
	copy(id[:8], event[:8]) // time and sequence, with the version
	id[8] = 0x80 | id[8]&0x3f
	return id
}
