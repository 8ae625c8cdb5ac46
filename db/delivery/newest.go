package delivery

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/db/pg"
)

// NewestQuery selects events, newest first. Zero values do not narrow it.
type NewestQuery struct {
	Company *uuid.UUID
	// Types are event types, with wildcards.
	Types        []string
	Since, Until time.Time // accepted at or after, and before
	// Before is the Next of the page before, or any event that the query's company has.
	Before uuid.UUID
	Limit  int
}

// NewestPage is a page of a list of events.
type NewestPage struct {
	Events []Event
	// Next is the Before of the next page; zero: there is none.
	Next uuid.UUID
}

// ReadNewest returns a page of the feed from its end back: at most q.Limit events, and at most about 2 MiB of data. It
// shows what is committed and does not wait for earlier transactions, so to follow events, read the feed. A page looks
// at a limited number of events, so where few have the types it may have none although there is a next one. A Before
// that is not stored is pg.ErrNotFound.
func ReadNewest(ctx context.Context, db bun.IDB, q NewestQuery) (p NewestPage, err error) {
	err = pg.InTx(ctx, db, func(ctx context.Context, tx bun.Tx) error {
		if err := planByIndex(ctx, tx); err != nil {
			return err
		}
		p, err = q.page(ctx, tx)
		return err
	})
	if err != nil {
		return NewestPage{}, fmt.Errorf("list events: %w", err)
	}
	return p, nil
}

// newestPage bounds the pages that ListNewest reads.
const newestPage = 1000

// ListNewest returns q.Limit events, newest first: it reads as many pages as it takes.
func ListNewest(ctx context.Context, db bun.IDB, q NewestQuery) ([]Event, error) {
	all := []Event{}
	for rest := q; ; {
		rest.Limit = min(q.Limit-len(all), newestPage)
		p, err := ReadNewest(ctx, db, rest)
		if err != nil {
			return nil, err
		}
		all = append(all, p.Events...)
		if len(all) >= q.Limit || p.Next == uuid.Nil {
			return all, nil
		}
		rest.Before = p.Next
	}
}

func (q *NewestQuery) page(ctx context.Context, tx bun.Tx) (p NewestPage, err error) {
	before, err := q.place(ctx, tx)
	if err != nil {
		return p, err
	}
	looks := q.Limit + 1
	if len(q.Types) > 0 {
		looks = feedLooks
	}
	since, until, types := uuid.Nil, uuid.Max, append([]string{}, q.Types...)
	if !q.Since.IsZero() {
		since = pg.FloorID(q.Since)
	}
	if !q.Until.IsZero() {
		until = pg.FloorID(q.Until)
	}
	args := []any{before.Position, before.ID, looks, types, since, until}
	statement := eventListSQL
	if q.Company != nil {
		statement, args = companyEventListSQL, append(args, pgID(*q.Company))
	}
	rows, err := pg.Direct(tx).QueryContext(ctx, statement, args...)
	if err != nil {
		return p, err
	}
	ids, next, err := q.look(rows, looks)
	if err != nil || len(ids) == 0 {
		return NewestPage{Next: next}, err
	}
	p.Next = next
	p.Events, err = eventsWith(ctx, tx, ids)
	return p, err
}

// look reads the ids of the page's events, and that of the last event it looked at if there are more.
func (q *NewestQuery) look(rows *sql.Rows, looks int) (ids []uuid.UUID, next uuid.UUID, err error) {
	defer func() { _ = rows.Close() }() // rows.Err reports its error
	looked, bytes := 0, 0
	var last uuid.UUID
	for rows.Next() {
		if len(ids) == q.Limit || bytes > feedBytes {
			return ids, last, rows.Err()
		}
		var matches bool
		var size int
		if err := rows.Scan(&last, &matches, &size); err != nil {
			return nil, uuid.Nil, err
		}
		if looked++; matches {
			ids = append(ids, last)
			bytes += size
		}
	}
	if looked < looks {
		last = uuid.Nil
	}
	return ids, last, rows.Err()
}

// place is where the event q.Before is in the feed; without one, the end.
func (q *NewestQuery) place(ctx context.Context, tx bun.Tx) (at FeedCursor, err error) {
	if q.Before == uuid.Nil {
		return FeedCursor{Position: math.MaxInt64, ID: uuid.Max}, nil
	}
	at.ID = q.Before
	var company *uuid.UUID
	err = pg.Direct(tx).QueryRowContext(ctx, "SELECT position, company_id FROM events WHERE id = $1", pgID(q.Before)).
		Scan(&at.Position, &company)
	foreign := q.Company != nil && (company == nil || *company != *q.Company)
	if errors.Is(err, sql.ErrNoRows) || err == nil && foreign {
		return at, pg.ErrNotFound
	}
	return at, err
}

// Like those of the feed, the statements ask for a range of one index and its order, here backwards. $1 position and $2
// id to end before, $3 how many to look at, $4 the types, $5 the first id, $6 the first id too late.
var (
	eventListColumns = `id, cardinality($4::text[]) = 0 OR $4 && ` + typeNames("type") + `, octet_length(data)`
	eventListSQL     = `
SELECT ` + eventListColumns + `
FROM events
WHERE (position, id) < ($1::bigint, $2::uuid) AND id >= $5::uuid AND id < $6::uuid
ORDER BY position DESC, id DESC LIMIT $3`
	companyEventListSQL = `
SELECT ` + eventListColumns + `
FROM events
WHERE (company_id, position, id) < ($7::uuid, $1::bigint, $2::uuid) AND company_id >= $7
  AND id >= $5::uuid AND id < $6::uuid
ORDER BY company_id DESC, position DESC, id DESC LIMIT $3`
)
