package delivery

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/uptrace/bun"

	"greenroom/db/pg"
)

const (
	// assumedFanOut is the fan-out of an event whose type was not published for its company within fanOutFor.
	assumedFanOut = 100
	// fanOutFor is how long an observed fan-out is believed: a company registers few webhooks in that time.
	fanOutFor = time.Minute
	// maxFanOuts limits the memory use; an entry takes some 100 bytes.
	maxFanOuts = 20_000
)

// fanOuts estimates the number of deliveries of an event, before it is stored, from those of earlier events. A wrong
// estimate makes a group larger or smaller; it loses nothing.
type fanOuts struct {
	db *bun.DB

	mu       sync.Mutex
	observed map[fanOutKey]fanOut
}

type fanOutKey struct {
	company   uuid.UUID
	eventType string
}

type fanOut struct {
	deliveries int
	at         time.Time
}

func newFanOuts(db *bun.DB) *fanOuts { return &fanOuts{db: db, observed: map[fanOutKey]fanOut{}} }

func fanOutKeyOf(e *Event) fanOutKey {
	key := fanOutKey{eventType: e.Type}
	if e.CompanyID != nil {
		key.company = *e.CompanyID
	}
	return key
}

// estimate returns the number of deliveries of the events.
func (f *fanOuts) estimate(events []*Event) (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, e := range events {
		o := f.observed[fanOutKeyOf(e)]
		if time.Since(o.at) > fanOutFor {
			o.deliveries = max(o.deliveries, assumedFanOut)
		}
		n += o.deliveries
	}
	return n
}

// observe notes the number of deliveries of each event.
func (f *fanOuts) observe(events []*Event, deliveries []int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	for i, e := range events {
		f.set(fanOutKeyOf(e), fanOut{deliveries[i], now})
	}
}

func (f *fanOuts) set(key fanOutKey, o fanOut) {
	if _, known := f.observed[key]; !known && len(f.observed) >= maxFanOuts {
		clear(f.observed)
	}
	f.observed[key] = o
}

// lookUp reads the fan-outs of the events that estimate would have to assume.
func (f *fanOuts) lookUp(ctx context.Context, events []*Event) error {
	unknown := map[fanOutKey]bool{}
	f.mu.Lock()
	for _, e := range events {
		if key := fanOutKeyOf(e); time.Since(f.observed[key].at) > fanOutFor {
			unknown[key] = true
		}
	}
	f.mu.Unlock()
	if len(unknown) == 0 {
		return nil
	}
	var companies []pgtype.UUID
	var types []string
	for key := range unknown {
		companies, types = append(companies, pgID(key.company)), append(types, key.eventType)
	}
	now := time.Now()
	rows, err := pg.Direct(f.db).
		QueryContext(ctx, fanOutSQL.SQL, fanOutSQL.Args(pg.Args{"companies": companies, "types": types})...)
	if err != nil {
		return fmt.Errorf("read fan-out: %w", err)
	}
	defer func() { _ = rows.Close() }() // rows.Err reports its error
	for rows.Next() {
		key, o := fanOutKey{}, fanOut{at: now}
		if err := rows.Scan(&key.company, &key.eventType, &o.deliveries); err != nil {
			return fmt.Errorf("read fan-out: %w", err)
		}
		f.mu.Lock()
		f.set(key, o)
		f.mu.Unlock()
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read fan-out: %w", err)
	}
	return nil
}

// fanOutSQL counts the webhooks that insertEventsSQL finds for an event without a job.
var fanOutSQL = pg.Named(`
WITH platform AS MATERIALIZED (
  SELECT w.events FROM webhooks w
  WHERE w.company_id IS NULL AND w.owner_company_id IS NULL AND w.deleted_at IS NULL AND w.is_active
)
SELECT e.company_id, e.type, (
    SELECT count(*) FROM webhooks w
    WHERE w.company_id = e.company_id AND w.deleted_at IS NULL AND w.is_active AND w.set_id IS NULL
      AND w.events && ` + typeNames("e.type") + `
  ) + (
    SELECT count(*) FROM webhooks w
    WHERE w.owner_company_id = e.company_id AND w.company_id IS NULL AND w.deleted_at IS NULL AND w.is_active
      AND w.events && ` + typeNames("e.type") + `
  ) + (
    SELECT count(*) FROM platform p WHERE p.events && ` + typeNames("e.type") + `
  )
FROM unnest(@companies::uuid[], @types::text[]) AS e (company_id, type)`)
