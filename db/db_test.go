package db_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"greenroom/db"
	"greenroom/db/catalog"
	"greenroom/db/dbtest"
)

// bundle is a company with one webhook on a database of its own.
type bundle struct {
	*bun.DB
	t       *testing.T
	ctx     context.Context
	company uuid.UUID
	hook    *db.Webhook
}

func setup(t *testing.T) *bundle {
	t.Helper()
	b := &bundle{DB: dbtest.New(t), t: t, ctx: t.Context(), company: db.NewID()}
	_, err := b.ExecContext(b.ctx, "INSERT INTO companies (id, name) VALUES (?, 'Acme')", b.company)
	require.NoError(t, err)
	b.hook = b.webhook(catalog.InterviewStarted, catalog.InterviewCompleted, catalog.Ping)
	return b
}

func (b *bundle) webhook(events ...string) *db.Webhook {
	b.t.Helper()
	now := time.Now().UTC()
	w := &db.Webhook{
		ID: db.NewID(), CompanyID: &b.company, OwnerCompanyID: &b.company, Profile: "instaview", URL: "https://receiver.test/hook",
		Events: events, IsActive: true, MaxRetries: 3, TimeoutMS: 30000, Secret: []byte("sealed"), Headers: []db.WebhookHeader{},
		CreatedAt: now, UpdatedAt: now,
	}
	require.NoError(b.t, db.CreateWebhook(b.ctx, b, w))
	return w
}

// tx runs fn in a transaction that must succeed.
func (b *bundle) tx(fn func(tx bun.Tx) error) {
	b.t.Helper()
	require.NoError(b.t, db.InTx(b.ctx, b, func(_ context.Context, tx bun.Tx) error { return fn(tx) }))
}

func (b *bundle) publish(eventType string) (e *db.Event, deliveries int) {
	b.t.Helper()
	e = &db.Event{CompanyID: &b.company, Type: eventType, Data: json.RawMessage(`{"b": 1,  "a":"ü"}`)}
	b.tx(func(tx bun.Tx) (err error) { deliveries, err = db.RecordEvent(b.ctx, tx, e); return err })
	return e, deliveries
}

var tenOfEach = db.TakeOptions{Limit: 1000, PerLane: 10, PerFailing: 10}

func (b *bundle) take() []db.QueuedDelivery {
	b.t.Helper()
	var t db.Taking
	b.tx(func(tx bun.Tx) (err error) {
		t, err = db.TakeDeliveries(b.ctx, tx, tenOfEach)
		return err
	})
	return t.Ready
}

func (b *bundle) commands() []db.Command {
	b.t.Helper()
	var cs []db.Command
	b.tx(func(tx bun.Tx) (err error) { cs, err = db.TakeCommands(b.ctx, tx, 100); return err })
	return cs
}

func (b *bundle) delivery(id uuid.UUID) *db.Delivery {
	b.t.Helper()
	d, err := db.GetDelivery(b.ctx, b, db.Scope{}, id)
	require.NoError(b.t, err)
	return d
}

// attempt records one attempt of a delivery with the given outcome.
func (b *bundle) attempt(q db.QueuedDelivery, outcome db.Outcome, mod ...func(*db.Recording)) bool {
	b.t.Helper()
	code := 200
	if outcome != db.OutcomeSucceeded {
		code = 500
	}
	r := db.Recording{
		WebhookID: q.WebhookID, Body: []byte(`{"x":1}`), Counts: true, Threshold: 10,
		Attempt: db.Attempt{
			DeliveryID: q.DeliveryID, RunID: uuid.New(), Attempt: 1, WorkflowID: "delivery:" + q.DeliveryID.String() + ":0",
			StartedAt: time.Now(), DurationMS: 5, Outcome: outcome, StatusCode: &code,
		},
	}
	for _, m := range mod {
		m(&r)
	}
	opened, err := db.RecordAttempt(b.ctx, b, r)
	require.NoError(b.t, err)
	return opened
}

func TestMigrate(t *testing.T) {
	t.Parallel()
	d := dbtest.New(t)
	ctx := t.Context()
	t.Run("is_idempotent", func(t *testing.T) {
		applied, err := db.Migrate(ctx, d)
		require.NoError(t, err)
		require.Empty(t, applied)
	})
	t.Run("goes_down_and_up", func(t *testing.T) {
		taken, err := db.Rollback(ctx, d)
		require.NoError(t, err)
		require.NotEmpty(t, taken)
		status, err := db.MigrationStatus(ctx, d)
		require.NoError(t, err)
		for _, m := range status {
			require.True(t, m.AppliedAt.IsZero(), m.Name)
		}
		var left []string
		require.NoError(t, d.NewRaw(`SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace
			AND relname NOT LIKE 'bun_%'`).Scan(ctx, &left))
		require.Empty(t, left)
		applied, err := db.Migrate(ctx, d)
		require.NoError(t, err)
		require.ElementsMatch(t, taken, applied)
	})
}

func TestFloorIDAgreesWithSQL(t *testing.T) {
	t.Parallel()
	d := dbtest.New(t)
	at := time.Date(2026, 3, 4, 5, 6, 7, 89e6, time.UTC)
	var id uuid.UUID
	require.NoError(t, d.NewRaw("SELECT uuid_v7_floor(?)", at).Scan(t.Context(), &id))
	require.Equal(t, db.FloorID(at), id)
}

func TestSQLIDsAreVersion7AndOrdered(t *testing.T) {
	t.Parallel()
	d := dbtest.New(t)
	before := db.FloorID(time.Now().Add(-time.Second))
	var id uuid.UUID
	require.NoError(t, d.NewRaw("SELECT uuid_v7()").Scan(t.Context(), &id))
	require.Equal(t, uuid.Version(7), id.Version())
	require.Equal(t, uuid.RFC4122, id.Variant())
	require.Greater(t, id.String(), before.String())
	require.Less(t, id.String(), db.FloorID(time.Now().Add(time.Second)).String())
}
