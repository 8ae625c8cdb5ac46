package delivery

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/uptrace/bun"

	"greenroom/db/pg"
)

// Event is something that happened. Data is kept byte for byte as it was accepted.
type Event struct {
	bun.BaseModel `bun:"table:events,alias:e"`

	ID         uuid.UUID       `bun:"id,pk"`
	CompanyID  *uuid.UUID      `bun:"company_id"`
	Type       string          `bun:"type"`
	Data       json.RawMessage `bun:"data,type:text"`
	OccurredAt time.Time       `bun:"occurred_at"`
	// Context is what the event was about (catalog.Context), as it was then; nil for one that was published.
	Context json.RawMessage `bun:"context,type:text"`
	// JobID is the job that the event is about, for webhooks that want the events of some jobs alone. It is not stored.
	JobID *uuid.UUID `bun:"-"`
}

// complete sets what the caller left open.
func (e *Event) complete() {
	if e.ID == uuid.Nil {
		e.ID = pg.NewID()
	}
	if e.OccurredAt.IsZero() {
		e.OccurredAt = time.Now()
	}
	e.OccurredAt = e.OccurredAt.UTC().Truncate(time.Microsecond)
}

// RecordEvent stores an event and one pending delivery for each webhook that is subscribed to its type, and wakes the
// dispatchers. It returns the number of deliveries. An inactive webhook gets none; one with an open circuit does, and
// the delivery is paused before it is sent. e.ID and e.OccurredAt are set when they are zero.
func RecordEvent(ctx context.Context, tx bun.Tx, e *Event) (int, error) {
	ns, err := RecordEvents(ctx, tx, []*Event{e})
	if err != nil {
		return 0, err
	}
	return ns[0], nil
}

// RecordEvents is RecordEvent for many events, of any companies, in one statement. It returns how many deliveries
// each has.
func RecordEvents(ctx context.Context, tx bun.Tx, es []*Event) ([]int, error) {
	made, err := record(ctx, tx, []Submission{{Events: es}})
	if err != nil {
		return nil, err
	}
	return made[0].deliveries, nil
}

// Submission is what one caller wants recorded, all of it or nothing, and what must be so in the moment it is.
type Submission struct {
	Events []*Event
	// Key must still have this version; nil: no key is checked.
	Key *KeyVersion
	// Companies must be there.
	Companies []uuid.UUID
}

// KeyVersion is an API key as it was when a request was authenticated with it.
type KeyVersion struct {
	ID uuid.UUID
	// Version changes with each change of the key.
	Version string
}

// recorded is what became of a submission: changed is that its key or a company is not as it was said, so that
// nothing of it was stored.
type recorded struct {
	deliveries []int
	changed    bool
}

// record stores submissions in one statement, which outside a transaction is one of its own.
func record(ctx context.Context, db bun.IDB, ss []Submission) ([]recorded, error) {
	rows, err := pg.Direct(db).QueryContext(ctx, recordSQL, recordArgs(ss)...)
	if err != nil {
		return nil, fmt.Errorf("record events: %w", err)
	}
	defer func() { _ = rows.Close() }()
	deliveries := map[uuid.UUID]int{}
	out := make([]recorded, len(ss))
	for rows.Next() {
		var event uuid.NullUUID
		var n, changed sql.NullInt32
		if err := rows.Scan(&event, &n, &changed); err != nil {
			return nil, fmt.Errorf("record events: %w", err)
		}
		if changed.Valid {
			out[changed.Int32].changed = true
		} else if event.Valid {
			deliveries[event.UUID] = int(n.Int32)
		}
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("record events: %w", err)
	}
	for i, s := range ss {
		out[i].deliveries = make([]int, len(s.Events))
		for k, e := range s.Events {
			out[i].deliveries[k] = deliveries[e.ID]
		}
	}
	return out, nil
}

// recordArgs are the arguments of recordSQL: a column of all events each, then the keys, then the companies that are
// asked for. A number tells which submission they belong to.
func recordArgs(ss []Submission) []any {
	var ids, companyIDs, jobs, keys, companies []pgtype.UUID // what the driver encodes without a detour over text
	var types, data, versions []string
	var contexts []pgtype.Text
	var times []time.Time
	var of, keyOf, companyOf []int32
	for i, s := range ss {
		for _, e := range s.Events {
			e.complete()
			ids, companyIDs, types = append(ids, pgID(e.ID)), append(companyIDs, pgNullID(e.CompanyID)), append(types, e.Type)
			data, times, of = append(data, string(e.Data)), append(times, e.OccurredAt), append(of, int32(i))
			contexts = append(contexts, pgtype.Text{String: string(e.Context), Valid: e.Context != nil})
			jobs = append(jobs, pgNullID(e.JobID))
		}
		if s.Key != nil {
			keyOf, keys, versions = append(keyOf, int32(i)), append(keys, pgID(s.Key.ID)), append(versions, s.Key.Version)
		}
		for _, id := range s.Companies {
			companyOf, companies = append(companyOf, int32(i)), append(companies, pgID(id))
		}
	}
	return []any{
		ids, companyIDs, types, data, times, of, keyOf, keys, versions, companyOf, companies, QueueChannel,
		contexts, jobs,
	}
}

func pgID(id uuid.UUID) pgtype.UUID { return pgtype.UUID{Bytes: id, Valid: true} }

func pgNullID(id *uuid.UUID) pgtype.UUID {
	if id == nil {
		return pgtype.UUID{}
	}
	return pgID(*id)
}

// recordSQL: $1–$6 the events (id, company, type, data, time, submission), $7–$9 the keys (submission, id, version),
// $10–$11 the companies (submission, id), $12 the dispatchers' channel, $13–$14 the events' contexts and jobs. It
// answers with a row for each submission that was not recorded, because something has changed, and for each event
// that has deliveries.
//
// Webhooks are looked up for each event in three indexed steps, so that no plan can do worse than that, whatever the
// planner believes of the tables: those of the company, the global ones of its own and, read once, those of the
// platform. A webhook with a set (see WebhookSet) gets the events of jobs that have it.
const recordSQL = `
WITH changed AS MATERIALIZED (
  SELECT a.submission FROM unnest($7::int[], $8::uuid[], $9::text[]) AS a (submission, id, version)
  WHERE (SELECT k.xmin::text FROM api_keys k WHERE k.id = a.id) IS DISTINCT FROM a.version
  UNION
  SELECT a.submission FROM unnest($10::int[], $11::uuid[]) AS a (submission, id)
  WHERE (SELECT c.id FROM companies c WHERE c.id = a.id AND c.deleted_at IS NULL) IS NULL
), e AS (
  INSERT INTO events (id, company_id, type, data, occurred_at, context)
  SELECT e.id, e.company_id, e.type, e.data, e.occurred_at, e.context
  FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::timestamptz[], $6::int[], $13::text[])
    AS e (id, company_id, type, data, occurred_at, submission, context)
  WHERE e.submission <> ALL (ARRAY(SELECT submission FROM changed))
), platform AS MATERIALIZED (
  SELECT w.id, w.events FROM webhooks w
  WHERE w.company_id IS NULL AND w.owner_company_id IS NULL AND w.deleted_at IS NULL AND w.is_active
), d AS (
  INSERT INTO deliveries (id, event_id, webhook_id, company_id, event_type, is_test, created_at, updated_at)
  SELECT uuid_v7(), e.id, w.id, e.company_id, e.type, false, now(), now()
  FROM unnest($1::uuid[], $2::uuid[], $3::text[], $6::int[], $14::uuid[]) AS e (id, company_id, type, submission, job_id)
  CROSS JOIN LATERAL (
    SELECT w.id, w.events FROM webhooks w WHERE w.company_id = e.company_id AND w.deleted_at IS NULL AND w.is_active
      AND (w.set_id IS NULL OR w.set_id = (SELECT j.webhook_set_id FROM jobs j WHERE j.id = e.job_id))
    UNION ALL
    SELECT w.id, w.events FROM webhooks w
    WHERE w.owner_company_id = e.company_id AND w.company_id IS NULL AND w.deleted_at IS NULL AND w.is_active
    UNION ALL
    SELECT p.id, p.events FROM platform p
  ) w
  WHERE e.type = ANY (w.events) AND e.submission <> ALL (ARRAY(SELECT submission FROM changed))
  RETURNING id, event_id, webhook_id, company_id
), q AS (
  INSERT INTO delivery_queue (webhook_id, company_id, delivery_id)
  SELECT webhook_id, COALESCE(company_id, '00000000-0000-0000-0000-000000000000'), id FROM d
)
SELECT NULL::uuid, NULL::int, submission FROM changed
UNION ALL
SELECT event_id, count(*)::int, NULL FROM d GROUP BY event_id
UNION ALL
SELECT NULL, count(pg_notify($12, ''))::int, NULL FROM (SELECT FROM d LIMIT 1) AS any_of_them`

// RecordTest stores a ping for exactly one webhook, whatever it is subscribed to, and returns the id of its delivery,
// or ErrConflict when the webhook is inactive or its circuit is open: then no delivery is created. A test is
// attempted once and does not move the circuit.
func RecordTest(ctx context.Context, tx bun.Tx, e *Event, webhook uuid.UUID) (id uuid.UUID, err error) {
	e.complete()
	err = tx.NewRaw(recordTestSQL, e.ID, e.CompanyID, e.Type, string(e.Data), e.OccurredAt, webhook).Scan(ctx, &id)
	switch err = pg.Translate(err); {
	case errors.Is(err, pg.ErrNotFound):
		return uuid.Nil, pg.ErrConflict
	case err != nil:
		return uuid.Nil, fmt.Errorf("record test: %w", err)
	}
	return id, notify(ctx, tx)
}

// recordTestSQL: ?0 event id, ?1 company, ?2 type, ?3 data, ?4 occurred at, ?5 the webhook.
const recordTestSQL = `
WITH e AS (
  INSERT INTO events (id, company_id, type, data, occurred_at) VALUES (?0, ?1, ?2, ?3, ?4)
), d AS (
  INSERT INTO deliveries (id, event_id, webhook_id, company_id, event_type, is_test, created_at, updated_at)
  SELECT uuid_v7(), ?0, w.id, ?1, ?2, true, now(), now() FROM webhooks w
  WHERE w.id = ?5 AND w.deleted_at IS NULL AND w.is_active AND w.circuit_opened_at IS NULL
  RETURNING id, webhook_id, company_id
), q AS (
  INSERT INTO delivery_queue (webhook_id, company_id, delivery_id)
  SELECT webhook_id, COALESCE(company_id, '00000000-0000-0000-0000-000000000000'), id FROM d
)
SELECT id FROM d`

// GetEvent returns an event that the scope sees.
func GetEvent(ctx context.Context, db bun.IDB, s pg.Scope, id uuid.UUID) (*Event, error) {
	e := new(Event)
	q := db.NewSelect().Model(e).Where("e.id = ?", id)
	if s.Company != nil {
		q = q.Where("e.company_id = ?", *s.Company)
	}
	if err := q.Scan(ctx); err != nil {
		return nil, fmt.Errorf("get event: %w", pg.Translate(err))
	}
	return e, nil
}
