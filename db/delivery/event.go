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

// Event is a row of events. Data is kept byte for byte as it was accepted.
type Event struct {
	bun.BaseModel `bun:"table:events,alias:e"`

	ID         uuid.UUID       `bun:"id,pk"`
	CompanyID  *uuid.UUID      `bun:"company_id"`
	Type       string          `bun:"type"`
	Data       json.RawMessage `bun:"data,type:text"`
	OccurredAt time.Time       `bun:"occurred_at"`
	// Context is a snapshot of the rows that the event refers to (catalog.Context); nil for a published event.
	Context json.RawMessage `bun:"context,type:text"`
	// Subject is what the event is about, for receivers that need its events in order; nil: nothing.
	Subject *string `bun:"subject"`
	// Sequence grows from each event of a subject to the next, with gaps. Nil without a subject.
	Sequence *int64 `bun:"sequence"`
	// RequestID is the request that caused the event, "" for none. Trace is the sampled trace that it is a part of, as
	// WithTrace reads it; "" for none. Storing the event sets both from the context.
	RequestID string `bun:"request_id,nullzero"`
	Trace     string `bun:"trace_context,nullzero"`
	// JobID is the event's job, for webhooks that receive the events of certain jobs only. It is not stored.
	JobID *uuid.UUID `bun:"-"`
	// About is the webhook that an operational event is about, which gets no delivery of it. It is not stored.
	About *uuid.UUID `bun:"-"`
}

// complete sets a missing id and time, and truncates the time to PostgreSQL's precision.
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
// dispatchers. It returns the number of deliveries. An inactive webhook gets no delivery. A webhook with an open
// circuit gets one, which is paused before it is sent. RecordEvent sets e.ID and e.OccurredAt when they are zero.
func RecordEvent(ctx context.Context, tx bun.Tx, e *Event) (int, error) {
	ns, err := RecordEvents(ctx, tx, []*Event{e})
	if err != nil {
		return 0, err
	}
	return ns[0], nil
}

// RecordEvents is RecordEvent for many events, of any companies, in one statement. It returns the number of deliveries
// of each event.
func RecordEvents(ctx context.Context, tx bun.Tx, es []*Event) (deliveries []int, err error) {
	ctx, span := startPublish(ctx, es)
	defer func() { endPublish(span, es, err) }()
	setOrigin(ctx, es)
	results, err := insertEvents(ctx, tx, []Submission{{Events: es}})
	if err != nil {
		return nil, err
	}
	noteStored(ctx, es, results[0].deliveries...)
	return results[0].deliveries, nil
}

// Submission is a set of events of one caller, stored all together or not at all, and the preconditions of storing it.
type Submission struct {
	Events []*Event
	// Key must still have this version; nil checks no key.
	Key *KeyVersion
	// Companies must exist.
	Companies []uuid.UUID
	// Idempotency, when not nil, stores the submission at most once. Only an EventGroup heeds it.
	Idempotency *Idempotency
}

// KeyVersion is an API key as it was when a request was authenticated with it.
type KeyVersion struct {
	ID uuid.UUID
	// Version changes with each change of the key.
	Version string
}

// submitResult is the result of one submission. Nothing of it was stored when its API key or a company was modified
// since it was read (stale), or when its idempotency key is taken.
type submitResult struct {
	deliveries   []int
	stale, taken bool
}

// insertEvents stores submissions in one statement. Outside a transaction that statement commits by itself.
func insertEvents(ctx context.Context, db bun.IDB, ss []Submission) ([]submitResult, error) {
	args, itself := insertEventsArgs(ss), false
	if pool, ok := db.(*bun.DB); ok { // a transaction may take long until its commit
		var done func()
		itself, done = pg.NotifiesItself(pool)
		defer done()
	}
	args["notify"] = itself
	rows, err := pg.Direct(db).QueryContext(ctx, insertEventsSQL.SQL, insertEventsSQL.Args(args)...)
	if err != nil {
		return nil, fmt.Errorf("record events: %w", err)
	}
	defer func() { _ = rows.Close() }()
	deliveries := map[uuid.UUID]int{}
	out := make([]submitResult, len(ss))
	payload := OnlyDeliveries
	for rows.Next() {
		var event uuid.NullUUID
		var n, leftOut sql.NullInt32
		var taken, ordered sql.NullBool
		if err := rows.Scan(&event, &n, &leftOut, &taken, &ordered); err != nil {
			return nil, fmt.Errorf("record events: %w", err)
		}
		if leftOut.Valid {
			r := &out[leftOut.Int32]
			r.taken, r.stale = r.taken || taken.Bool, r.stale || !taken.Bool
		} else {
			deliveries[event.UUID] = int(n.Int32)
			if ordered.Bool {
				payload = OrderedDeliveries
			}
		}
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("record events: %w", err)
	}
	if len(deliveries) > 0 && !itself {
		pg.Notify(db, QueueChannel, payload)
	}
	for i, s := range ss {
		out[i].deliveries = make([]int, len(s.Events))
		for k, e := range s.Events {
			out[i].deliveries[k] = deliveries[e.ID]
		}
	}
	return out, nil
}

// insertEventsArgs returns an array for each column of the events, then of the preconditions. The arrays named
// *submissions hold the index of the submission that each element belongs to.
func insertEventsArgs(ss []Submission) pg.Args {
	var ids, companies, jobs, abouts, keys, requiredCompanies []pgtype.UUID // encoded in binary, unlike uuid.UUID
	var types, data, versions []string
	var contexts, subjects, requests []pgtype.Text
	var traces []pgtype.Text // up to the last event with a trace: unnest fills up with nulls
	var times []time.Time
	var submissions, keySubmissions, companySubmissions, onceSubmissions []int32
	var onceAPIKeys []pgtype.UUID
	var onceKeys []string
	var onceLocks []int64
	for i, s := range ss {
		for _, e := range s.Events {
			e.complete()
			submissions = append(submissions, int32(i))
			ids = append(ids, pgID(e.ID))
			companies = append(companies, pgNullID(e.CompanyID))
			jobs = append(jobs, pgNullID(e.JobID))
			abouts = append(abouts, pgNullID(e.About))
			types = append(types, e.Type)
			data = append(data, string(e.Data))
			contexts = append(contexts, pgtype.Text{String: string(e.Context), Valid: e.Context != nil})
			subjects = append(subjects, pgText(e.Subject))
			times = append(times, e.OccurredAt)
			requests = append(requests, pgtype.Text{String: e.RequestID, Valid: e.RequestID != ""})
			if e.Trace != "" {
				for len(traces) < len(ids)-1 {
					traces = append(traces, pgtype.Text{})
				}
				traces = append(traces, pgtype.Text{String: e.Trace, Valid: true})
			}
		}
		if s.Key != nil {
			keySubmissions = append(keySubmissions, int32(i))
			keys = append(keys, pgID(s.Key.ID))
			versions = append(versions, s.Key.Version)
		}
		for _, id := range s.Companies {
			companySubmissions = append(companySubmissions, int32(i))
			requiredCompanies = append(requiredCompanies, pgID(id))
		}
		if o := s.Idempotency; o != nil {
			onceSubmissions = append(onceSubmissions, int32(i))
			onceAPIKeys = append(onceAPIKeys, pgID(o.APIKey))
			onceKeys = append(onceKeys, o.Key)
			onceLocks = append(onceLocks, IdempotencyLock(o.APIKey, o.Key))
		}
	}
	return pg.Args{
		"ids": ids, "companies": companies, "types": types, "data": data, "times": times, "contexts": contexts,
		"subjects": subjects, "jobs": jobs, "abouts": abouts, "submissions": submissions,
		"requests": requests, "traces": traces,
		"key_submissions": keySubmissions, "keys": keys, "key_versions": versions,
		"company_submissions": companySubmissions, "required_companies": requiredCompanies,
		"once_submissions": onceSubmissions, "once_api_keys": onceAPIKeys, "once_keys": onceKeys, "once_locks": onceLocks,
	}
}

func pgID(id uuid.UUID) pgtype.UUID { return pgtype.UUID{Bytes: id, Valid: true} }

func pgIDs(ids []uuid.UUID) []pgtype.UUID {
	out := make([]pgtype.UUID, len(ids))
	for i, id := range ids {
		out[i] = pgID(id)
	}
	return out
}

func pgText(s *string) pgtype.Text {
	if s == nil {
		return pgtype.Text{}
	}
	return pgtype.Text{String: *s, Valid: true}
}

func pgNullID(id *uuid.UUID) pgtype.UUID {
	if id == nil {
		return pgtype.UUID{}
	}
	return pgID(*id)
}

// insertEventsSQL returns a row for each submission that was not stored, because a precondition failed or its
// idempotency key is taken, and for each event that has deliveries.
//
// An idempotency key is taken when it has a row, whatever its age, or when another transaction holds its lock. The
// statement waits for neither: it inserts no key.
//
// Webhooks are looked up for each event in three indexed steps: those of the company, the global webhooks that the
// company owns and, read once, the global webhooks of the platform. So no plan costs more, whatever the planner
// assumes about the tables. The data of an event is read only for a webhook with a filter. A webhook with a set (see
// WebhookSet) gets the events of jobs that have that set. The deliveries of a webhook with ordering join their lines
// instead of the queue.
//
// The last part returns no row.
var insertEventsSQL = pg.Named(`
WITH stale AS MATERIALIZED (
  SELECT a.submission
  FROM unnest(@key_submissions::int[], @keys::uuid[], @key_versions::text[]) AS a (submission, id, version)
  WHERE (SELECT k.xmin::text FROM api_keys k WHERE k.id = a.id) IS DISTINCT FROM a.version
  UNION
  SELECT a.submission FROM unnest(@company_submissions::int[], @required_companies::uuid[]) AS a (submission, id)
  WHERE (SELECT c.id FROM companies c WHERE c.id = a.id AND c.deleted_at IS NULL) IS NULL
), taken AS MATERIALIZED (
  SELECT a.submission
  FROM unnest(@once_submissions::int[], @once_api_keys::uuid[], @once_keys::text[], @once_locks::bigint[])
    AS a (submission, api_key_id, key, lock)
  WHERE NOT pg_try_advisory_xact_lock(a.lock)
    OR (SELECT k.key FROM idempotency_keys k WHERE k.api_key_id = a.api_key_id AND k.key = a.key) IS NOT NULL
), left_out AS MATERIALIZED (
  SELECT submission, false AS taken FROM stale UNION ALL SELECT submission, true FROM taken
), sequences AS MATERIALIZED (
  SELECT ARRAY(
    SELECT CASE WHEN s IS NULL THEN 0 ELSE nextval('event_sequence') END FROM unnest(@subjects::text[]) s
  ) AS of
), e AS (
  INSERT INTO events (id, company_id, type, data, occurred_at, context, subject, sequence, request_id, trace_context)
  SELECT e.id, e.company_id, e.type, e.data, e.occurred_at, e.context, e.subject,
    NULLIF((SELECT of FROM sequences)[e.n], 0), e.request_id, e.trace_context
  FROM unnest(@ids::uuid[], @companies::uuid[], @types::text[], @data::text[], @times::timestamptz[],
    @submissions::int[], @contexts::text[], @subjects::text[], @requests::text[], @traces::text[])
    WITH ORDINALITY
    AS e (id, company_id, type, data, occurred_at, submission, context, subject, request_id, trace_context, n)
  WHERE e.submission <> ALL (ARRAY(SELECT submission FROM left_out))
), platform AS MATERIALIZED (
  SELECT w.id, w.events, w.filter_path, w.ordering FROM webhooks w
  WHERE w.company_id IS NULL AND w.owner_company_id IS NULL AND w.deleted_at IS NULL AND w.is_active
), d AS (
  INSERT INTO deliveries (id, event_id, webhook_id, company_id, event_type, is_test, created_at, updated_at, subject,
    sequence)
  SELECT uuid_v7(), e.id, w.id, e.company_id, e.type, false, now(), now(),
    CASE WHEN w.ordering IS NOT NULL THEN e.subject END,
    CASE WHEN w.ordering IS NOT NULL THEN NULLIF((SELECT of FROM sequences)[e.n], 0) END
  FROM unnest(@ids::uuid[], @companies::uuid[], @types::text[], @submissions::int[], @jobs::uuid[], @abouts::uuid[],
    @subjects::text[]) WITH ORDINALITY AS e (id, company_id, type, submission, job_id, about, subject, n)
  CROSS JOIN LATERAL (
    SELECT w.id, w.events, w.filter_path, w.ordering FROM webhooks w
    WHERE w.company_id = e.company_id AND w.deleted_at IS NULL AND w.is_active
      AND (w.set_id IS NULL OR w.set_id = (SELECT j.webhook_set_id FROM jobs j WHERE j.id = e.job_id))
    UNION ALL
    SELECT w.id, w.events, w.filter_path, w.ordering FROM webhooks w
    WHERE w.owner_company_id = e.company_id AND w.company_id IS NULL AND w.deleted_at IS NULL AND w.is_active
    UNION ALL
    SELECT p.id, p.events, p.filter_path, p.ordering FROM platform p
  ) w
  WHERE w.events && ` + typeNames("e.type") + ` AND w.id IS DISTINCT FROM e.about
    AND ` + filterMatches("w.filter_path", "e.type", "(@data::text[])[e.n]", "(@contexts::text[])[e.n]") + `
    AND e.submission <> ALL (ARRAY(SELECT submission FROM left_out))
  RETURNING id, event_id, webhook_id, company_id, subject, sequence
), q AS (
  INSERT INTO delivery_queue (webhook_id, company_id, delivery_id)
  SELECT webhook_id, COALESCE(company_id, '00000000-0000-0000-0000-000000000000'), id FROM d WHERE subject IS NULL
), line AS (
  INSERT INTO line_waiting (delivery_id, webhook_id, subject, sequence, company_id)
  SELECT id, webhook_id, subject, sequence, COALESCE(company_id, '00000000-0000-0000-0000-000000000000')
  FROM d WHERE subject IS NOT NULL
), change AS (
  INSERT INTO line_changes (webhook_id, subject) SELECT DISTINCT webhook_id, subject FROM d WHERE subject IS NOT NULL
)
SELECT NULL::uuid, NULL::int, submission, taken, NULL::boolean FROM left_out
UNION ALL
SELECT event_id, count(*)::int, NULL, NULL, bool_or(subject IS NOT NULL) FROM d GROUP BY event_id
UNION ALL
SELECT NULL, NULL, NULL, NULL, NULL FROM (SELECT FROM d WHERE @notify::boolean LIMIT 1) one
WHERE pg_notify('` + QueueChannel + `', CASE WHEN EXISTS (SELECT FROM d WHERE subject IS NOT NULL)
  THEN '` + OrderedDeliveries + `' ELSE '` + OnlyDeliveries + `' END) IS NULL`)

// typeNames is an SQL array of the names under which a webhook subscribes to a type: its own and the wildcard of its
// first word.
func typeNames(column string) string {
	return "ARRAY[" + column + ", split_part(" + column + ", '.', 1) || '.*']"
}

// RecordTest stores a test event for exactly one webhook, whatever it is subscribed to, and returns the id of its
// delivery. It stores nothing and returns ErrConflict when the webhook is inactive or its circuit is open. A test is
// attempted once and does not count for the circuit.
func RecordTest(ctx context.Context, tx bun.Tx, e *Event, webhook uuid.UUID) (id uuid.UUID, err error) {
	e.complete()
	ctx, span := startPublish(ctx, []*Event{e})
	defer func() { endPublish(span, []*Event{e}, err) }()
	setOrigin(ctx, []*Event{e})
	var about *string
	if e.Context != nil {
		text := string(e.Context)
		about = &text
	}
	err = tx.NewRaw(recordTestSQL, pg.Args{
		"event": e.ID, "company": e.CompanyID, "type": e.Type, "data": string(e.Data), "occurred_at": e.OccurredAt,
		"context": about, "webhook": webhook, "request": e.RequestID, "trace": e.Trace,
	}).Scan(ctx, &id)
	switch err = pg.Translate(err); {
	case errors.Is(err, pg.ErrNotFound):
		return uuid.Nil, pg.ErrConflict
	case err != nil:
		return uuid.Nil, fmt.Errorf("record test: %w", err)
	}
	noteStored(ctx, []*Event{e}, 1)
	notify(tx)
	return id, nil
}

const recordTestSQL = `
WITH e AS (
  INSERT INTO events (id, company_id, type, data, occurred_at, context, is_test, request_id, trace_context)
  VALUES (?event, ?company, ?type, ?data, ?occurred_at, ?context, true, NULLIF(?request, ''), NULLIF(?trace, ''))
), d AS (
  INSERT INTO deliveries (id, event_id, webhook_id, company_id, event_type, is_test, created_at, updated_at)
  SELECT uuid_v7(), ?event, w.id, ?company, ?type, true, now(), now() FROM webhooks w
  WHERE w.id = ?webhook AND w.deleted_at IS NULL AND w.is_active AND w.circuit_opened_at IS NULL
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
