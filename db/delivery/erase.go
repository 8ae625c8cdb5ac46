package delivery

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/db/pg"
)

// Erasing a person from events and deliveries reads all rows of the person's company, page by page, because an event
// names a candidate only in its text.

// Person is what a person is found by in text.
type Person struct {
	// Patterns are LIKE patterns for lower-case text: a text that has the person matches one of them, and others may.
	Patterns []string
	// In reports whether a text has the person.
	In func(text string) bool
}

// erasedError is the last error of a delivery that an erasure canceled.
const erasedError = "The person in this event was erased"

// ErasedPage is the result of one page.
type ErasedPage struct {
	// Last is the cursor of the next page; Looked is how many rows were read, Erased how many had the person.
	Last                     uuid.UUID
	Looked, Erased, Canceled int
}

// EraseDeliveries removes the person from the bodies and the receivers' answers of one page of a company's deliveries,
// and cancels those that have not ended. An erased delivery is not sent again. The webhooks that were sent the person's
// data are noted with the erasure.
func EraseDeliveries(
	ctx context.Context, tx bun.Tx, erasure, company, after uuid.UUID, who Person, limit int,
) (ErasedPage, error) {
	p, err := eraseDeliveries(ctx, tx, erasure, company, after, who, limit)
	if err != nil {
		return p, fmt.Errorf("erase deliveries: %w", err)
	}
	if p.Canceled > 0 {
		notify(tx)
	}
	return p, nil
}

func eraseDeliveries(
	ctx context.Context, tx bun.Tx, erasure, company, after uuid.UUID, who Person, limit int,
) (p ErasedPage, err error) {
	p.Last = after
	byEvent := map[uuid.UUID][]uuid.UUID{}
	rows, err := pg.Direct(tx).QueryContext(ctx,
		"SELECT id, event_id FROM deliveries WHERE company_id = $1 AND id > $2 ORDER BY id LIMIT $3", company, after, limit)
	if err != nil {
		return p, err
	}
	defer func() { _ = rows.Close() }() // rows.Err reports its error
	for ; rows.Next(); p.Looked++ {
		var event uuid.UUID
		if err := rows.Scan(&p.Last, &event); err != nil {
			return p, err
		}
		byEvent[event] = append(byEvent[event], p.Last)
	}
	if err := rows.Err(); err != nil {
		return p, err
	}
	about, err := eventsAbout(ctx, tx, slices.Collect(maps.Keys(byEvent)), who)
	if err != nil || len(about) == 0 {
		return p, err
	}
	var hits []uuid.UUID
	for _, event := range about {
		hits = append(hits, byEvent[event]...)
	}
	err = pg.Direct(tx).QueryRowContext(ctx, eraseDeliveriesSQL, hits, erasure, erasedError, string(WakeDelivery)).
		Scan(&p.Erased, &p.Canceled)
	return p, err
}

// eventsAbout returns those of the events that have the person.
func eventsAbout(ctx context.Context, tx bun.Tx, events []uuid.UUID, who Person) (about []uuid.UUID, err error) {
	rows, err := pg.Direct(tx).QueryContext(ctx, `SELECT id, data, COALESCE(context, '') FROM events
		WHERE id = ANY ($1::uuid[]) AND (lower(data) LIKE ANY ($2::text[]) OR lower(context) LIKE ANY ($2::text[]))`,
		events, who.Patterns)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // rows.Err reports its error
	for rows.Next() {
		var id uuid.UUID
		var data, related string
		if err := rows.Scan(&id, &data, &related); err != nil {
			return nil, err
		}
		if who.In(data) || who.In(related) {
			about = append(about, id)
		}
	}
	return about, rows.Err()
}

const eraseDeliveriesSQL = `
WITH u AS (
  UPDATE deliveries d SET body = '', subject = NULL, erased_at = now(), updated_at = now(), next_attempt_at = NULL,
    last_error = CASE WHEN d.status IN ('pending', 'retrying', 'paused') THEN $3::text END,
    status = CASE WHEN d.status IN ('pending', 'retrying', 'paused') THEN 'canceled' ELSE d.status END
  WHERE d.id = ANY ($1::uuid[]) AND d.erased_at IS NULL
  RETURNING d.id, d.webhook_id, d.attempts, d.workflow_id, d.last_error IS NOT NULL AS canceled
), a AS (
  UPDATE attempts SET response = NULL, error = NULL FROM u WHERE delivery_id = u.id
), w AS (
  INSERT INTO erasure_webhooks (erasure_id, webhook_id) SELECT DISTINCT $2::uuid, webhook_id FROM u WHERE attempts > 0
  ON CONFLICT DO NOTHING
), c AS (
  INSERT INTO commands (id, kind, subject_id)
  SELECT uuid_v7(), $4::text, id FROM u WHERE canceled AND workflow_id IS NOT NULL
)
SELECT (SELECT count(*) FROM u), (SELECT count(*) FROM u WHERE canceled)`

// RecheckErased removes the receivers' answers of attempts that were in flight while their deliveries were erased.
// replacement is what EraseEvents left in the person's events.
func RecheckErased(
	ctx context.Context, tx bun.Tx, erasure, company, after uuid.UUID, replacement string, limit int,
) (p ErasedPage, err error) {
	err = pg.Direct(tx).QueryRowContext(ctx, recheckErasedSQL, company, after, limit, erasure, replacement).
		Scan(&p.Last, &p.Looked, &p.Erased)
	if err != nil {
		return p, fmt.Errorf("recheck erased deliveries: %w", err)
	}
	return p, nil
}

const recheckErasedSQL = `
WITH page AS MATERIALIZED (
  SELECT id, event_id, webhook_id, attempts, erased_at FROM deliveries
  WHERE company_id = $1 AND id > $2 ORDER BY id LIMIT $3
), mine AS MATERIALIZED (
  SELECT p.id, p.webhook_id, p.attempts FROM page p JOIN events e ON e.id = p.event_id AND e.data = $5
  WHERE p.erased_at >= (SELECT requested_at FROM erasures WHERE id = $4::uuid)
), a AS (
  UPDATE attempts SET response = NULL, error = NULL FROM mine
  WHERE delivery_id = mine.id AND (response IS NOT NULL OR error IS NOT NULL)
), l AS (
  UPDATE deliveries d SET last_error = NULL FROM mine WHERE d.id = mine.id AND d.status <> 'canceled'
    AND d.last_error IS NOT NULL
), w AS (
  INSERT INTO erasure_webhooks (erasure_id, webhook_id)
  SELECT DISTINCT $4::uuid, webhook_id FROM mine WHERE attempts > 0
  ON CONFLICT DO NOTHING
)
SELECT COALESCE((SELECT id FROM page ORDER BY id DESC LIMIT 1), $2), (SELECT count(*) FROM page),
  (SELECT count(*) FROM mine)`

// ForgetErased removes the receivers' answers of those deliveries that were erased: for attempts that are recorded so
// late, after an outage or a kill, that the erasure did not wait for them.
func ForgetErased(ctx context.Context, db bun.IDB, deliveries []uuid.UUID) error {
	_, err := pg.Direct(db).ExecContext(ctx, `
WITH e AS MATERIALIZED (
  SELECT id FROM deliveries WHERE id = ANY ($1::uuid[]) AND erased_at IS NOT NULL
), a AS (
  UPDATE attempts SET response = NULL, error = NULL FROM e
  WHERE delivery_id = e.id AND (response IS NOT NULL OR error IS NOT NULL)
)
UPDATE deliveries d SET last_error = NULL FROM e
WHERE d.id = e.id AND d.status <> 'canceled' AND d.last_error IS NOT NULL`, deliveries)
	if err != nil {
		return fmt.Errorf("forget answers of erased deliveries: %w", err)
	}
	return nil
}

// EraseEvents replaces the data of those events of a page that have the person, and removes their context.
func EraseEvents(
	ctx context.Context, tx bun.Tx, company, after uuid.UUID, who Person, replacement string, limit int,
) (ErasedPage, error) {
	p := ErasedPage{Last: after}
	page, err := queryIDs(ctx, tx, companyEventsSQL, company, after, limit)
	if err != nil {
		return p, fmt.Errorf("erase events: %w", err)
	}
	if p.Looked = len(page); p.Looked > 0 {
		p.Last = page[p.Looked-1]
	}
	about, err := eventsAbout(ctx, tx, page, who)
	if err != nil {
		return p, fmt.Errorf("erase events: %w", err)
	}
	res, err := pg.Direct(tx).ExecContext(ctx,
		`UPDATE events SET data = $2::text, context = NULL, subject = NULL
		WHERE id = ANY ($1::uuid[]) AND data <> $2`, about, replacement)
	if err != nil {
		return p, fmt.Errorf("erase events: %w", err)
	}
	erased, err := res.RowsAffected()
	p.Erased = int(erased)
	return p, err
}

// companyEventsSQL is a page of a company's events in the order of the feed, whose index it uses. It begins again when
// retention has removed the event that it continues after.
const companyEventsSQL = `
SELECT id FROM events
WHERE (company_id, position, id) > ($1::uuid, COALESCE((SELECT position FROM events WHERE id = $2::uuid), 0), $2)
  AND company_id <= $1
ORDER BY company_id, position, id LIMIT $3`

// RecordErased records an event for its subscribers, and a delivery for each webhook that the erasure noted and whose
// profile has the event, whatever it is subscribed to. Deleted webhooks get none.
func RecordErased(ctx context.Context, tx bun.Tx, erasure uuid.UUID, e *Event) error {
	e.complete()
	if _, err := RecordEvent(ctx, tx, e); err != nil {
		return err
	}
	// The deliveries of a statement are made within its own time; the minute allows for clocks that differ.
	_, err := pg.Direct(tx).ExecContext(ctx, `
WITH subscribed AS MATERIALIZED (
  SELECT id, webhook_id FROM deliveries
  WHERE id >= uuid_v7_floor(now() - interval '1 minute') AND company_id = $3 AND event_id = $2
), d AS (
  INSERT INTO deliveries (id, event_id, webhook_id, company_id, event_type, is_test, created_at, updated_at)
  SELECT uuid_v7(), $2, w.id, $3, $4, false, now(), now()
  FROM erasure_webhooks x JOIN webhooks w ON w.id = x.webhook_id
  WHERE x.erasure_id = $1 AND w.deleted_at IS NULL AND w.profile = 'standard'
    AND w.id NOT IN (SELECT webhook_id FROM subscribed)
  RETURNING id, webhook_id, company_id
), q AS (
  INSERT INTO delivery_queue (webhook_id, company_id, delivery_id) SELECT webhook_id, company_id, id FROM d
), new AS (
  SELECT id, webhook_id FROM d UNION ALL SELECT id, webhook_id FROM subscribed
)
INSERT INTO erasure_webhooks (erasure_id, webhook_id, delivery_id) SELECT $1, webhook_id, id FROM new
ON CONFLICT (erasure_id, webhook_id) DO UPDATE SET delivery_id = EXCLUDED.delivery_id`,
		erasure, e.ID, *e.CompanyID, e.Type)
	if err != nil {
		return fmt.Errorf("notify webhooks of an erasure: %w", err)
	}
	notify(tx)
	return nil
}

// ErasedEventData is the data of the event candidate.erased.
func ErasedEventData(candidate, erasure uuid.UUID) json.RawMessage {
	return json.RawMessage(`{"candidateId":"` + candidate.String() + `","erasureId":"` + erasure.String() + `"}`)
}

// ErasedData is the data that an erasure leaves in an event.
func ErasedData(candidate uuid.UUID) json.RawMessage {
	return json.RawMessage(`{"candidateId":"` + candidate.String() + `","erased":true}`)
}
