package db

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// Event is something that happened. Data is kept byte for byte as it was accepted.
type Event struct {
	bun.BaseModel `bun:"table:events,alias:e"`

	ID         uuid.UUID       `bun:"id,pk"`
	CompanyID  *uuid.UUID      `bun:"company_id"`
	Type       string          `bun:"type"`
	Data       json.RawMessage `bun:"data,type:text"`
	OccurredAt time.Time       `bun:"occurred_at"`
}

// RecordEvent stores an event and one pending delivery for each webhook that is subscribed to its type, and wakes the
// dispatchers. It returns the number of deliveries. An inactive webhook gets none; one with an open circuit does, and the
// delivery is paused before it is sent. e.ID and e.OccurredAt are set when they are zero.
func RecordEvent(ctx context.Context, tx bun.Tx, e *Event) (int, error) {
	return record(ctx, tx, e, nil)
}

// RecordTest stores a ping for exactly one webhook and returns the id of its delivery, or ErrConflict when the webhook is
// inactive or its circuit is open: then no delivery is created. A test is attempted once and does not move the circuit.
func RecordTest(ctx context.Context, tx bun.Tx, e *Event, webhook uuid.UUID) (uuid.UUID, error) {
	n, err := record(ctx, tx, e, &webhook)
	if err != nil {
		return uuid.Nil, err
	}
	if n == 0 {
		return uuid.Nil, ErrConflict
	}
	var id uuid.UUID
	err = tx.NewRaw("SELECT id FROM deliveries WHERE webhook_id = ? AND event_id = ? ORDER BY id DESC LIMIT 1", webhook, e.ID).Scan(ctx, &id)
	if err != nil {
		return uuid.Nil, fmt.Errorf("find test delivery: %w", err)
	}
	return id, nil
}

func record(ctx context.Context, tx bun.Tx, e *Event, only *uuid.UUID) (int, error) {
	if e.ID == uuid.Nil {
		e.ID = NewID()
	}
	if e.OccurredAt.IsZero() {
		e.OccurredAt = time.Now()
	}
	e.OccurredAt = e.OccurredAt.UTC().Truncate(time.Microsecond)
	var n, told int
	err := tx.NewRaw(recordSQL, e.ID, e.CompanyID, e.Type, string(e.Data), e.OccurredAt, only, QueueChannel).Scan(ctx, &n, &told)
	if err != nil {
		return 0, fmt.Errorf("record event: %w", err)
	}
	return n, nil
}

// recordSQL: ?0 event id, ?1 company, ?2 type, ?3 data, ?4 occurred at, ?5 the only webhook (a test) or null,
// ?6 the dispatchers' channel.
const recordSQL = `
WITH e AS (
  INSERT INTO events (id, company_id, type, data, occurred_at) VALUES (?0, ?1, ?2, ?3, ?4)
), d AS (
  INSERT INTO deliveries (id, event_id, webhook_id, company_id, event_type, is_test, created_at, updated_at)
  SELECT uuid_v7(), ?0, w.id, ?1, ?2, ?5::uuid IS NOT NULL, now(), now()
  FROM webhooks w
  WHERE w.deleted_at IS NULL AND w.is_active AND w.events @> ARRAY[?2::text]
    AND CASE WHEN ?5::uuid IS NOT NULL THEN w.id = ?5::uuid AND w.circuit_opened_at IS NULL
        ELSE w.company_id = ?1::uuid
          OR w.company_id IS NULL AND (w.owner_company_id = ?1::uuid OR w.owner_company_id IS NULL) END
  RETURNING id, webhook_id
), q AS (
  INSERT INTO delivery_queue (webhook_id, delivery_id) SELECT webhook_id, id FROM d
)
SELECT (SELECT count(*) FROM d), (SELECT count(pg_notify(?6, '')) FROM (SELECT FROM d LIMIT 1) any_of_them)`

// GetEvent returns an event that the scope sees.
func GetEvent(ctx context.Context, db bun.IDB, s Scope, id uuid.UUID) (*Event, error) {
	e := new(Event)
	q := db.NewSelect().Model(e).Where("e.id = ?", id)
	if s.Company != nil {
		q = q.Where("e.company_id = ?", *s.Company)
	}
	if err := q.Scan(ctx); err != nil {
		return nil, fmt.Errorf("get event: %w", translate(err))
	}
	return e, nil
}
