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
	// lookUpBytes is the data from which on a single event's filters are looked up before it is stored.
	lookUpBytes = 4 << 10
	// slowGroup is the time of a group after which the filters of its companies are looked up: most take milliseconds.
	slowGroup = 250 * time.Millisecond
)

// fanOuts estimates the work of an event, before it is stored: the deliveries from those of earlier events, and the
// filters from a look at the webhooks. A wrong estimate makes a group larger or smaller; it loses nothing.
type fanOuts struct {
	db *bun.DB

	mu       sync.Mutex
	observed map[fanOutKey]fanOut
	slow     map[uuid.UUID]time.Time // when the company was in a group that took long
}

type fanOutKey struct {
	company   uuid.UUID
	eventType string
}

type fanOut struct {
	deliveries int
	at         time.Time
	// filters is how often the filters read an event's data, about: once, and once for each condition.
	filters int
	looked  time.Time
}

func newFanOuts(db *bun.DB) *fanOuts {
	return &fanOuts{db: db, observed: map[fanOutKey]fanOut{}, slow: map[uuid.UUID]time.Time{}}
}

func fanOutKeyOf(e *Event) fanOutKey {
	key := fanOutKey{eventType: e.Type}
	if e.CompanyID != nil {
		key.company = *e.CompanyID
	}
	return key
}

// estimate returns the number of deliveries of the events, and the bytes of data that filters read.
func (f *fanOuts) estimate(events []*Event) (n, filtered int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, e := range events {
		o := f.observed[fanOutKeyOf(e)]
		if time.Since(o.at) > fanOutFor {
			o.deliveries = max(o.deliveries, assumedFanOut)
		}
		n += o.deliveries
		filtered += o.filters * len(e.Data)
	}
	return n, filtered
}

// uncertain reports whether the webhooks of the events must be looked up: what is assumed of many events would be
// large, and filters of much data, or those that made a group slow, may take seconds.
func (f *fanOuts) uncertain(events []*Event) bool {
	if len(events) != 1 || len(events[0].Data) > lookUpBytes {
		return true
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return time.Since(f.slow[fanOutKeyOf(events[0]).company]) < fanOutFor
}

// tookLong notes that a group with the events did.
func (f *fanOuts) tookLong(events []*Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.slow) >= maxFanOuts {
		clear(f.slow)
	}
	for _, e := range events {
		f.slow[fanOutKeyOf(e).company] = time.Now()
	}
}

// observe notes the number of deliveries of each event.
func (f *fanOuts) observe(events []*Event, deliveries []int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	for i, e := range events {
		key := fanOutKeyOf(e)
		o := f.observed[key]
		o.deliveries, o.at = deliveries[i], now
		f.set(key, o)
	}
}

func (f *fanOuts) set(key fanOutKey, o fanOut) {
	if _, known := f.observed[key]; !known && len(f.observed) >= maxFanOuts {
		clear(f.observed)
	}
	f.observed[key] = o
}

// lookUp reads the fan-outs of the events whose webhooks were not looked up within fanOutFor.
func (f *fanOuts) lookUp(ctx context.Context, events []*Event) error {
	unknown := map[fanOutKey]bool{}
	f.mu.Lock()
	for _, e := range events {
		if key := fanOutKeyOf(e); time.Since(f.observed[key].looked) > fanOutFor {
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
		key, o := fanOutKey{}, fanOut{at: now, looked: now}
		if err := rows.Scan(&key.company, &key.eventType, &o.deliveries, &o.filters); err != nil {
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

// fanOutSQL counts the webhooks that insertEventsSQL finds for an event without a job, and the readings of their
// filters: a condition takes some 32 bytes of a path.
var fanOutSQL = pg.Named(`
WITH platform AS MATERIALIZED (
  SELECT w.events, w.filter_path FROM webhooks w
  WHERE w.company_id IS NULL AND w.owner_company_id IS NULL AND w.deleted_at IS NULL AND w.is_active
)
SELECT e.company_id, e.type, count(w.events), COALESCE(sum(1 + octet_length(w.filter_path::text) / 32), 0)
FROM unnest(@companies::uuid[], @types::text[]) AS e (company_id, type)
LEFT JOIN LATERAL (
  SELECT w.events, w.filter_path FROM webhooks w
  WHERE w.company_id = e.company_id AND w.deleted_at IS NULL AND w.is_active AND w.set_id IS NULL
  UNION ALL
  SELECT w.events, w.filter_path FROM webhooks w
  WHERE w.owner_company_id = e.company_id AND w.company_id IS NULL AND w.deleted_at IS NULL AND w.is_active
  UNION ALL
  SELECT p.events, p.filter_path FROM platform p
) w ON w.events && ` + typeNames("e.type") + `
GROUP BY e.company_id, e.type`)
