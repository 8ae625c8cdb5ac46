package delivery

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/db/pg"
)

// ReplayState is a replay's state.
type ReplayState string

// A replay goes running ⇄ paused → completed | canceled.
const (
	ReplayRunning   ReplayState = "running"
	ReplayPaused    ReplayState = "paused"
	ReplayCompleted ReplayState = "completed"
	ReplayCanceled  ReplayState = "canceled"
)

// Kind names what a replay does.
func (r *Replay) Kind() string {
	if r.Missed {
		return "catch-up"
	}
	return "replay"
}

// Ended reports whether the replay sends nothing any more.
func (s ReplayState) Ended() bool { return s == ReplayCompleted || s == ReplayCanceled }

// Replay sends many ended deliveries of a webhook again: those made from Since (inclusive) to Until (exclusive) with
// one of the statuses and, if there are any, of one of the events. Tests are left out. One that is Missed is a
// catch-up: it makes the deliveries of events from Since to Until that the webhook has none of.
type Replay struct {
	bun.BaseModel `bun:"table:replays,alias:r"`

	ID        uuid.UUID   `bun:"id,pk"`
	WebhookID uuid.UUID   `bun:"webhook_id"`
	CompanyID *uuid.UUID  `bun:"company_id"`
	Since     time.Time   `bun:"since"`
	Until     time.Time   `bun:"until"`
	Statuses  []string    `bun:"statuses,array"`
	Events    []string    `bun:"events,array"`
	State     ReplayState `bun:"state"`
	// Replayed counts the deliveries that went back to the queue.
	Replayed int64 `bun:"replayed"`
	// Cursor is the last delivery that was looked at, or with Position the place of a catch-up in the feed.
	Cursor *uuid.UUID `bun:"cursor"`
	Missed bool       `bun:"missed"`
	// Position to UntilPosition is the part of the feed that a catch-up has yet to look at.
	Position      int64     `bun:"position"`
	UntilPosition int64     `bun:"until_position"`
	CreatedAt     time.Time `bun:"created_at"`
	UpdatedAt     time.Time `bun:"updated_at"`
}

// CreateReplay stores a new replay, running, and has its workflow started. Its id and times are set.
func CreateReplay(ctx context.Context, tx bun.Tx, r *Replay) error {
	r.ID, r.State, r.CreatedAt = pg.NewID(), ReplayRunning, time.Now().UTC()
	r.UpdatedAt = r.CreatedAt
	if r.Events == nil {
		r.Events = []string{}
	}
	if _, err := tx.NewInsert().Model(r).Exec(ctx); err != nil {
		return fmt.Errorf("insert replay: %w", pg.Translate(err))
	}
	return AddCommand(ctx, tx, ReplayChanged, r.ID, nil)
}

// GetReplay returns a replay of that webhook.
func GetReplay(ctx context.Context, db bun.IDB, webhook, id uuid.UUID) (*Replay, error) {
	r := new(Replay)
	if err := db.NewSelect().Model(r).Where("r.id = ? AND r.webhook_id = ?", id, webhook).Scan(ctx); err != nil {
		return nil, fmt.Errorf("get replay: %w", pg.Translate(err))
	}
	return r, nil
}

// FindReplay returns a replay of any webhook.
func FindReplay(ctx context.Context, db bun.IDB, id uuid.UUID) (*Replay, error) {
	r := new(Replay)
	if err := db.NewSelect().Model(r).Where("r.id = ?", id).Scan(ctx); err != nil {
		return nil, fmt.Errorf("find replay: %w", pg.Translate(err))
	}
	return r, nil
}

// ListReplays returns one page of a webhook's replays, newest first, and how many there are in all.
func ListReplays(ctx context.Context, db bun.IDB, webhook uuid.UUID, p pg.Page) ([]Replay, int64, error) {
	rs := []Replay{}
	total, err := db.NewSelect().Model(&rs).Where("r.webhook_id = ?", webhook).Order("r.id DESC").
		Limit(p.Limit).Offset(p.Offset).ScanAndCount(ctx)
	if err != nil {
		return nil, 0, fmt.Errorf("list replays: %w", err)
	}
	return rs, total, nil
}

// NewestReplays returns the newest replays of a webhook, or of all for uuid.Nil, at most limit, for the command line.
func NewestReplays(ctx context.Context, db bun.IDB, webhook uuid.UUID, limit int64) ([]Replay, error) {
	rs := []Replay{}
	q := db.NewSelect().Model(&rs).Order("r.id DESC").Limit(limit)
	if webhook != uuid.Nil {
		q = q.Where("r.webhook_id = ?", webhook)
	}
	if err := q.Scan(ctx); err != nil {
		return nil, fmt.Errorf("list replays: %w", err)
	}
	return rs, nil
}

// PauseReplay pauses a running replay.
func PauseReplay(ctx context.Context, tx bun.Tx, id uuid.UUID) (*Replay, error) {
	return setReplay(ctx, tx, id, ReplayPaused, ReplayRunning)
}

// ResumeReplay continues a paused replay.
func ResumeReplay(ctx context.Context, tx bun.Tx, id uuid.UUID) (*Replay, error) {
	return setReplay(ctx, tx, id, ReplayRunning, ReplayPaused)
}

// CancelReplay ends a replay. Deliveries that it has requeued are not canceled.
func CancelReplay(ctx context.Context, tx bun.Tx, id uuid.UUID) (*Replay, error) {
	return setReplay(ctx, tx, id, ReplayCanceled, ReplayRunning, ReplayPaused)
}

// setReplay changes the state and signals the workflow. A StateError refuses a replay that is in none of the from
// states.
func setReplay(ctx context.Context, tx bun.Tx, id uuid.UUID, to ReplayState, from ...ReplayState) (*Replay, error) {
	r := new(Replay)
	err := tx.NewRaw(`UPDATE replays SET state = ?, updated_at = clock_timestamp()
		WHERE id = ? AND state IN (?) RETURNING *`,
		to, id, bun.List(from)).
		Scan(ctx, r)
	if err = pg.Translate(err); err == nil {
		if to.Ended() {
			if err := r.recordFinished(ctx, tx); err != nil {
				return nil, err
			}
		}
		return r, AddCommand(ctx, tx, ReplayChanged, id, nil)
	}
	if !errors.Is(err, pg.ErrNotFound) {
		return nil, fmt.Errorf("change replay: %w", err)
	}
	var state string
	if err := tx.NewRaw("SELECT state FROM replays WHERE id = ?", id).Scan(ctx, &state); err != nil {
		return nil, fmt.Errorf("change replay: %w", pg.Translate(err))
	}
	return nil, &pg.StateError{Resource: "replay", State: state}
}

// ReplayProgress is the state of a replay after a page.
type ReplayProgress struct {
	State ReplayState
	// Replayed counts the deliveries of all pages, Requeued those of this one.
	Replayed int64
	Requeued int
	// WebhookID and CompanyID are those of the replay; CompanyID is nil for one of the platform.
	WebhookID uuid.UUID
	CompanyID *uuid.UUID
}

// replayLooks bounds the deliveries that one page looks at: a tenth of a second of work when they are in memory.
const replayLooks = 10_000

// ReplayPage puts the next deliveries that a replay matches, at most limit, back into the queue, or makes them if it is
// a catch-up, oldest first, and moves its cursor in the same transaction: a page is sent once however often this is
// tried. A page looks at replayLooks deliveries at most, so where few match it may have fewer than limit, or none. The
// page that comes to the end completes the replay; that of a deleted webhook cancels it. A replay that does not run is
// left as it is.
func ReplayPage(ctx context.Context, db bun.IDB, replay uuid.UUID, limit int) (p ReplayProgress, err error) {
	err = pg.InTx(ctx, db, func(ctx context.Context, tx bun.Tx) error {
		r := new(Replay)
		if err := tx.NewSelect().Model(r).Where("r.id = ?", replay).For("UPDATE").Scan(ctx); err != nil {
			return pg.Translate(err)
		}
		if r.State == ReplayRunning {
			if p.Requeued, err = r.nextPage(ctx, tx, limit); err != nil {
				return err
			}
		}
		p.State, p.Replayed, p.WebhookID, p.CompanyID = r.State, r.Replayed, r.WebhookID, r.CompanyID
		return nil
	})
	if err != nil {
		return ReplayProgress{}, fmt.Errorf("replay page: %w", err)
	}
	return p, nil
}

func (r *Replay) nextPage(ctx context.Context, tx bun.Tx, limit int) (n int, err error) {
	var gone, ordered bool
	if err := tx.NewRaw("SELECT deleted_at IS NOT NULL, ordering IS NOT NULL FROM webhooks WHERE id = ?", r.WebhookID).
		Scan(ctx, &gone, &ordered); err != nil {
		return 0, pg.Translate(err)
	}
	end := false
	switch {
	case gone:
	case r.Missed:
		n, end, err = r.makeMissed(ctx, tx, limit, ordered)
	default:
		n, end, err = r.sendAgain(ctx, tx, limit, ordered)
	}
	if err != nil {
		return 0, err
	}
	r.Replayed += int64(n)
	switch {
	case gone:
		r.State = ReplayCanceled
	case end:
		r.State = ReplayCompleted
	}
	r.UpdatedAt = time.Now().UTC()
	if _, err := tx.NewUpdate().
		Model(r).
		Column("cursor", "position", "replayed", "state", "updated_at").
		WherePK().
		Exec(ctx); err != nil {
		return 0, err
	}
	if r.State.Ended() {
		if err := r.recordFinished(ctx, tx); err != nil {
			return 0, err
		}
	}
	if n > 0 {
		notify(tx)
	}
	return n, nil
}

// sendAgain requeues the deliveries of the next page.
func (r *Replay) sendAgain(ctx context.Context, tx bun.Tx, limit int, ordered bool) (n int, end bool, err error) {
	page, err := r.look(ctx, tx, limit)
	if err != nil {
		return 0, false, err
	}
	if ordered {
		if err := r.extendInOrder(ctx, tx, &page); err != nil {
			return 0, false, err
		}
	}
	if page.last != uuid.Nil {
		r.Cursor = &page.last
	}
	if len(page.matches) > 0 {
		n, err = requeue(ctx, tx, page.matches)
	}
	return n, page.end, err
}

// overlap is more than the time for which two transactions store events side by side: within it, the ids of deliveries
// may have another order than the sequences of their events.
const overlap = 5 * time.Second

// extendInOrder adds to a page of a webhook with ordering what follows it up to the last delivery that has a lower
// sequence than one of the same subject in the page: in the next page it would come too late. A page stays within
// replayLooks deliveries and another overlap: after a restore, every later event may have a lower sequence.
func (r *Replay) extendInOrder(ctx context.Context, tx bun.Tx, page *replayPage) error {
	for !page.end && len(page.matches) > 0 && len(page.matches) < replayLooks {
		until := pg.TimeOf(page.last).Add(overlap)
		if until.After(r.Until) {
			until = r.Until
		}
		late, err := queryIDs(ctx, tx, lateInOrderSQL, page.matches, r.WebhookID, page.last, pg.FloorID(until))
		if err != nil || len(late) == 0 {
			return err
		}
		matches, err := queryIDs(ctx, tx, replayUntilSQL, r.WebhookID, page.last, late[0], r.Statuses, r.events())
		if err != nil {
			return err
		}
		page.matches, page.last = append(page.matches, matches...), late[0]
	}
	return nil
}

// lateInOrderSQL finds the last delivery to the webhook $2 between the ids $3 and $4 that belongs before one of $1.
const lateInOrderSQL = `
WITH page AS MATERIALIZED (
  SELECT subject, max(sequence) AS top FROM deliveries WHERE id = ANY ($1::uuid[]) AND subject IS NOT NULL
  GROUP BY subject
)
SELECT d.id FROM deliveries d
WHERE (d.webhook_id, d.id) > ($2::uuid, $3::uuid) AND d.webhook_id <= $2 AND d.id > $3 AND d.id < $4
  AND d.sequence < (SELECT p.top FROM page p WHERE p.subject = d.subject)
ORDER BY d.webhook_id DESC, d.id DESC LIMIT 1`

// replayUntilSQL finds the matches of the webhook $1 after the id $2, up to $3.
var replayUntilSQL = `
SELECT id FROM deliveries
WHERE (webhook_id, id) > ($1::uuid, $2::uuid) AND webhook_id <= $1 AND id > $2 AND id <= $3
  AND ` + replayMatches("$4", "$5") + `
ORDER BY webhook_id, id`

// events are the names of the events that match; none: all do.
func (r *Replay) events() []string { return append([]string{}, r.Events...) } // nil is NULL, which matches nothing

// replayMatches is true for a delivery with one of the statuses and events.
func replayMatches(statuses, events string) string {
	return "status = ANY (" + statuses + "::text[]) AND NOT is_test AND (cardinality(" + events + "::text[]) = 0 OR " +
		events + " && " + typeNames("event_type") + ")"
}

// replayPage is what a page found: the deliveries that match, the last one it looked at, how many it looked at, and
// whether that was the last of all.
type replayPage struct {
	matches []uuid.UUID
	last    uuid.UUID
	looked  int
	end     bool
}

// look finds the next page by keyset. The bounds are ids, so only the partitions of those days are read, in the order
// of the index by webhook, which no other index has, and planByIndex forbids to sort: statistics of a quiet day
// otherwise make the planner read the deliveries of every webhook and sort them. What matches is decided afterwards.
func (r *Replay) look(ctx context.Context, tx bun.Tx, limit int) (p replayPage, err error) {
	after := pg.FloorID(r.Since)
	if r.Cursor != nil {
		after = *r.Cursor
	}
	if err := planByIndex(ctx, tx); err != nil {
		return p, err
	}
	rows, err := pg.Direct(tx).
		QueryContext(ctx, replayPageSQL, r.WebhookID, after, pg.FloorID(r.Until), replayLooks, r.Statuses, r.events())
	if err != nil {
		return p, err
	}
	defer func() { _ = rows.Close() }() // rows.Err reports its error
	for rows.Next() && len(p.matches) < limit {
		var matches bool
		if err := rows.Scan(&p.last, &matches); err != nil {
			return p, err
		}
		if p.looked++; matches {
			p.matches = append(p.matches, p.last)
		}
	}
	p.end = p.looked < replayLooks && len(p.matches) < limit
	return p, rows.Err()
}

// CountReplay returns how many deliveries the replay would send again if it began now. It reads all deliveries of the
// webhook in the replay's time, by the pages that the replay would look at.
func CountReplay(ctx context.Context, db bun.IDB, r *Replay) (n int64, err error) {
	all := *r
	err = pg.InTx(ctx, db, func(ctx context.Context, tx bun.Tx) error {
		for {
			page, err := all.look(ctx, tx, replayLooks)
			n += int64(len(page.matches))
			if err != nil || page.end {
				return err
			}
			all.Cursor = &page.last
		}
	})
	if err != nil {
		return 0, fmt.Errorf("count the deliveries of a replay: %w", err)
	}
	return n, nil
}

// replayPageSQL: $1 the webhook, $2 the id to continue after, $3 the first id too late, $4 how many to look at, $5 the
// statuses and $6 the events that match.
var replayPageSQL = `
SELECT id, ` + replayMatches("$5", "$6") + `
FROM (
  SELECT id, webhook_id, status, is_test, event_type FROM deliveries
  WHERE (webhook_id, id) > ($1::uuid, $2::uuid) AND webhook_id <= $1 AND id > $2 AND id < $3
  ORDER BY webhook_id, id LIMIT $4
) page
ORDER BY webhook_id, id`
