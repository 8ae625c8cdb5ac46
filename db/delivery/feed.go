package delivery

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/db/catalog"
	"greenroom/db/pg"
)

// FeedCursor is a place in the feed. The zero value is its beginning: the oldest event that is stored.
//
// The feed is ordered by position, then id. A position is the number of the transaction that stored the event, and a
// page ends before the first transaction that may still store one. So no event appears before a place that a reader has
// passed, however late it is committed.
type FeedCursor struct {
	// Position and ID are those of the last event that was passed. Without ID, all events before Position were passed.
	Position int64
	ID       uuid.UUID
	// Missed is the highest position of removed events that the reader knows of.
	Missed int64
}

func (c FeedCursor) isStart() bool { return c == FeedCursor{} }

// FeedQuery selects events of the feed.
type FeedQuery struct {
	// Company selects the events of one company; nil selects all, also those of no company.
	Company *uuid.UUID
	// Types selects event types, with wildcards; none selects all.
	Types []string
	After FeedCursor
	Limit int

	// since and until, when set, bound the ids of the events. missedBy selects events that this webhook can have missed:
	// no tests, nothing erased, and no operational events about itself.
	since, until, missedBy uuid.UUID
	filterPath             *string
}

// FeedPage is a part of the feed.
type FeedPage struct {
	Events []Event
	// Next is where to continue, also after a page without events.
	Next FeedCursor
	// More: the page ends at a limit, not at the end of the feed.
	More bool
	// HeldSince is when the first event occurred that is stored but not in the feed yet, because an earlier transaction
	// of this database has not ended. Nil: there is none, or it is younger than heldAfter.
	HeldSince *time.Time
}

// FeedGapError means that events after the cursor are no longer stored.
type FeedGapError struct {
	// Next continues with the first event that is stored.
	Next FeedCursor
	// Restored: the cursor is ahead of the database, which was restored to an earlier state.
	Restored bool
}

func (e *FeedGapError) Error() string {
	if e.Restored {
		return "the cursor is ahead of the events"
	}
	return "events after the cursor were removed"
}

const (
	// feedLooks limits the events that one page looks at, when few of them have the types.
	feedLooks = 2000
	// feedBytes limits the data of a page of several events.
	feedBytes = 2 << 20
	// heldAfter is older than an event is by the time that its transaction and those before it have ended.
	heldAfter = 2 * time.Second
)

// ReadFeed returns the events after a place, in the order of the feed: at most q.Limit, and at most about 2 MiB. A page
// looks at a limited number of events, so where few have the types it may have none although More is set. A cursor
// whose following events were removed is a FeedGapError.
func ReadFeed(ctx context.Context, db bun.IDB, q FeedQuery) (p FeedPage, err error) {
	err = pg.InTx(ctx, db, func(ctx context.Context, tx bun.Tx) error {
		if err := planByIndex(ctx, tx); err != nil {
			return err
		}
		p, err = readFeed(ctx, tx, q)
		return err
	})
	if err != nil {
		return FeedPage{}, fmt.Errorf("read feed: %w", err)
	}
	return p, nil
}

func readFeed(ctx context.Context, tx bun.Tx, q FeedQuery) (p FeedPage, err error) {
	s, err := loadFeedState(ctx, tx)
	if err != nil {
		return p, err
	}
	if q.After.Position > s.ahead {
		return p, &FeedGapError{Next: FeedCursor{Missed: s.missed}, Restored: true}
	}
	if q.After.isStart() {
		q.After.Missed = s.missed
	}
	if p, err = q.page(ctx, tx, s.settled); err != nil {
		return p, err
	}
	if !p.More {
		if err := q.holdBack(ctx, tx, s.settled, &p); err != nil {
			return p, err
		}
	}
	// Read after the page: what was removed before it was read is known.
	missed, err := feedMissed(ctx, tx)
	if err != nil {
		return p, err
	}
	if missed > q.After.Missed && q.After.Position <= missed {
		gap := q.After
		gap.Missed = missed
		return FeedPage{}, &FeedGapError{Next: gap}
	}
	return p, nil
}

// feedState is what a reader must know of the feed before it reads.
type feedState struct {
	// settled: all transactions before it have ended. ahead: none from it on has begun.
	settled, ahead int64
	missed         int64
}

func loadFeedState(ctx context.Context, tx bun.IDB) (s feedState, err error) {
	err = pg.Direct(tx).QueryRowContext(ctx, `SELECT pg_snapshot_xmin(s)::text::bigint, pg_snapshot_xmax(s)::text::bigint,
		dropped_through FROM event_feed, pg_current_snapshot() s`).Scan(&s.settled, &s.ahead, &s.missed)
	return s, err
}

func feedMissed(ctx context.Context, tx bun.Tx) (missed int64, err error) {
	err = pg.Direct(tx).QueryRowContext(ctx, "SELECT dropped_through FROM event_feed").Scan(&missed)
	return missed, err
}

// holdBack looks for an event at the end of the feed that waits for an earlier transaction. When that is one of another
// database of the server, which stores no event here, it reads on.
func (q *FeedQuery) holdBack(ctx context.Context, tx bun.Tx, settled int64, p *FeedPage) error {
	held, err := q.firstHeld(ctx, tx, max(settled, q.After.Position))
	if err != nil || held == nil {
		return err
	}
	here, err := settledHere(ctx, tx)
	if err != nil {
		return err
	}
	if here > settled {
		if *p, err = q.page(ctx, tx, here); err != nil || p.More {
			return err
		}
		if held, err = q.firstHeld(ctx, tx, max(here, q.After.Position)); err != nil {
			return err
		}
	}
	p.HeldSince = held
	return nil
}

// page reads the events before the position settled.
func (q *FeedQuery) page(ctx context.Context, tx bun.Tx, settled int64) (p FeedPage, err error) {
	places, p, err := q.look(ctx, tx, settled)
	if err != nil || len(places) == 0 {
		return p, err
	}
	ids := make([]uuid.UUID, len(places))
	for i := range places {
		ids[i] = places[i].ID
	}
	p.Events, err = eventsWith(ctx, tx, ids)
	return p, err
}

// eventsWith returns the events with these ids, in this order, without those that were removed since: readFeed finds
// that out.
func eventsWith(ctx context.Context, tx bun.Tx, ids []uuid.UUID) (events []Event, err error) {
	found := make(map[uuid.UUID]Event, len(ids))
	rows, err := pg.Direct(tx).QueryContext(ctx,
		"SELECT id, company_id, type, data, occurred_at, subject, sequence FROM events WHERE id = ANY ($1)", pgIDs(ids))
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // rows.Err reports its error
	for rows.Next() {
		var e Event
		var data string
		if err := rows.Scan(&e.ID, &e.CompanyID, &e.Type, &data, &e.OccurredAt, &e.Subject, &e.Sequence); err != nil {
			return nil, err
		}
		e.Data = []byte(data)
		found[e.ID] = e
	}
	for _, id := range ids {
		if e, is := found[id]; is {
			events = append(events, e)
		}
	}
	return events, rows.Err()
}

// look returns the places of the next page's events, and the page without them.
func (q *FeedQuery) look(ctx context.Context, tx bun.Tx, settled int64) (places []FeedCursor, p FeedPage, err error) {
	p.Next = q.After
	looks, types, until, missedBy := q.Limit+1, []string{}, q.until, ""
	switch {
	case q.missedBy != uuid.Nil:
		missedBy = q.missedBy.String()
		looks, types = missedLooks, append([]string{""}, q.Types...) // never all types
	case len(q.Types) > 0:
		looks, types = feedLooks, q.Types
	}
	if until == uuid.Nil {
		until = uuid.Max
	}
	rows, err := q.query(ctx, tx, feedPageSQL, companyFeedPageSQL, q.After.Position, q.After.ID, settled, looks, types,
		q.since, until, missedBy, catalog.Operational(), q.filterPath)
	if err != nil {
		return nil, p, err
	}
	defer func() { _ = rows.Close() }() // rows.Err reports its error
	looked, bytes := 0, 0
	for rows.Next() {
		if p.More = len(places) == q.Limit || bytes > feedBytes; p.More {
			break
		}
		var matches bool
		var size int
		if err := rows.Scan(&p.Next.Position, &p.Next.ID, &matches, &size); err != nil {
			return nil, p, err
		}
		if looked++; matches {
			places = append(places, p.Next)
			if q.missedBy == uuid.Nil { // a catch-up does not read the data
				bytes += size
			}
		}
	}
	if p.More = p.More || looked == looks; !p.More && settled > q.After.Position {
		p.Next.Position, p.Next.ID = settled, uuid.Nil
	}
	return places, p, rows.Err()
}

// firstHeld returns when the first event from a position on occurred, if that is heldAfter ago.
func (q *FeedQuery) firstHeld(ctx context.Context, tx bun.Tx, from int64) (*time.Time, error) {
	rows, err := q.query(ctx, tx, feedHeldSQL, companyFeedHeldSQL, from, uuid.Nil)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // rows.Err reports its error
	var at *time.Time
	if rows.Next() {
		if err := rows.Scan(&at); err != nil {
			return nil, err
		}
		if time.Since(*at) < heldAfter {
			at = nil
		}
	}
	return at, rows.Err()
}

// query runs the statement for all events, or the one for those of a company with the company as last argument.
func (q *FeedQuery) query(ctx context.Context, tx bun.Tx, all, ofCompany string, args ...any) (*sql.Rows, error) {
	if q.Company == nil {
		return pg.Direct(tx).QueryContext(ctx, all, args...)
	}
	return pg.Direct(tx).QueryContext(ctx, ofCompany, append(args, pgID(*q.Company))...)
}

// The statements ask for a range of one index and its order, so that the planner has one choice whatever its statistics
// say. $1 position and $2 id to continue after, $3 the position to end before, $4 how many to look at, $5 the types, $6
// the first id, $7 the first id too late, $8 the webhook that missed them or "", $9 the operational types, $10 the path
// of a filter or null.
var (
	feedColumns = `position, id,
  (cardinality($5::text[]) = 0 OR $5 && ` + typeNames("type") + `) AND NOT ($8::text <> '' AND (
  is_test OR type = '` + catalog.Ping + `' OR type = ANY ($9::text[]) AND strpos(data, $8) > 0
    OR data LIKE '{"candidateId":"____________________________________","erased":true}'))
  AND ` + filterMatches("$10::jsonpath", "type", "data", "context") + `,
  octet_length(data)`
	feedPageSQL = `
SELECT ` + feedColumns + `
FROM events
WHERE (position, id) > ($1::bigint, $2::uuid) AND (position, id) < ($3::bigint, '00000000-0000-0000-0000-000000000000')
  AND id >= $6::uuid AND id < $7::uuid
ORDER BY position, id LIMIT $4`
	companyFeedPageSQL = `
SELECT ` + feedColumns + `
FROM events
WHERE (company_id, position, id) > ($11::uuid, $1::bigint, $2::uuid)
  AND (company_id, position, id) < ($11, $3::bigint, '00000000-0000-0000-0000-000000000000')
  AND id >= $6::uuid AND id < $7::uuid
ORDER BY company_id, position, id LIMIT $4`

	feedHeldSQL = `
SELECT occurred_at FROM events WHERE (position, id) > ($1::bigint, $2::uuid) ORDER BY position, id LIMIT 1`
	companyFeedHeldSQL = `
SELECT occurred_at FROM events WHERE (company_id, position, id) > ($3::uuid, $1::bigint, $2::uuid) AND company_id <= $3
ORDER BY company_id, position, id LIMIT 1`
)

// settledHere is the settled position by the transactions of this database alone. One that is not found any more, or
// that is prepared, counts as one of this database.
func settledHere(ctx context.Context, tx bun.Tx) (settled int64, err error) {
	err = pg.Direct(tx).QueryRowContext(ctx, `
SELECT COALESCE((
    SELECT min(x::text::bigint) FROM pg_snapshot_xip(s) x
    WHERE NOT EXISTS (
      SELECT FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
      WHERE l.locktype = 'transactionid' AND l.granted AND l.mode = 'ExclusiveLock' AND l.transactionid = x::xid
        AND a.datid <> (SELECT d.oid FROM pg_database d WHERE d.datname = current_database()))
  ), pg_snapshot_xmax(s)::text::bigint)
FROM pg_current_snapshot() s`).Scan(&settled)
	return settled, err
}

// AlignFeed puts events first whose positions this server has not reached: a dump of another server was restored here.
// They are ordered by id then, and readers of the other server have a FeedGapError. Otherwise it changes nothing.
func AlignFeed(ctx context.Context, db bun.IDB) error {
	_, err := db.ExecContext(ctx, `WITH e AS (
			UPDATE events SET position = 0 WHERE position >= pg_snapshot_xmax(pg_current_snapshot())::text::bigint
		)
		UPDATE event_feed SET dropped_through = 0
		WHERE dropped_through >= pg_snapshot_xmax(pg_current_snapshot())::text::bigint`)
	if err != nil {
		return fmt.Errorf("align the feed of events: %w", err)
	}
	return nil
}
