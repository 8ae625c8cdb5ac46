package service_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"google.golang.org/protobuf/types/known/durationpb"

	"greenroom/db"
	"greenroom/db/delivery"
	"greenroom/db/pg"
	"greenroom/db/seal"
)

// TestUpkeepKeepsPartitions has 40 days of partitions and a retention of 30: a worker that starts drops the old ones
// and creates those of the next days. It also removes the schedule that ran the maintenance in older versions.
func TestUpkeepKeepsPartitions(t *testing.T) {
	b := setup(t)
	b.cfg.Temporal.Namespace, b.cfg.Retention.Days = "upkeep-"+uuid.NewString(), 30
	b.makeNamespace()
	schedule := b.makeFormerSchedule()
	now := time.Now().UTC()
	require.NoError(t, delivery.EnsurePartitions(t.Context(), b.db, now.AddDate(0, 0, -39), 40))
	_, err := b.db.ExecContext(t.Context(), "DROP TABLE ?", bun.Ident(partition("deliveries", now, 7)))
	require.NoError(t, err)
	url := b.work()
	for _, table := range []string{"deliveries", "attempts", "events"} {
		b.eventually(func() bool { return !b.exists(partition(table, now, -31)) })
		require.False(t, b.exists(partition(table, now, -40)), table)
		require.True(t, b.exists(partition(table, now, -30)), "%s: it ended less than 30 days ago", table)
		require.True(t, b.exists(partition(table, now, 7)), table)
	}
	b.eventually(func() bool { return len(b.log.find("dropped partitions")) > 0 })
	b.eventually(func() bool {
		_, err := schedule.Describe(t.Context())
		var none *serviceerror.NotFound
		return errors.As(err, &none)
	})
	b.eventually(func() bool {
		_, shown := b.get(url + "/metrics")
		return strings.Contains(shown, "greenroom_oldest_day_age_days 30\n")
	})
}

// TestUpkeepSealsHeadersAndForgetsTheAuditLog on a database of an older version, with more old entries than one
// statement deletes.
func TestUpkeepSealsHeadersAndForgetsTheAuditLog(t *testing.T) {
	b := setup(t)
	b.cfg.Retention.AuditDays = 10
	_, err := b.db.ExecContext(
		t.Context(),
		`UPDATE webhooks SET headers = '[{"name": "Cookie", "value": "in plain text"}]'`,
	)
	require.NoError(t, err)
	var before int
	require.NoError(t, b.db.NewRaw("SELECT count(*) FROM audit_log").Scan(t.Context(), &before))
	for days, entries := range map[int]int{9: 1, 11: 1001} {
		_, err := b.db.ExecContext(t.Context(), `INSERT INTO audit_log (id, actor, action, target_type, target_id, at)
			SELECT (left(f, 24) || lpad(to_hex(n), 12, '0'))::uuid, 'cli', 'created', 'key', ?2, now() - ?0 * interval '1 day'
			FROM generate_series(1, ?1) n, CAST(uuid_v7_floor(now() - ?0 * interval '1 day') AS text) f`,
			days, entries, uuid.NewString())
		require.NoError(t, err)
	}
	b.work()
	count := func(query string) (n int) {
		require.NoError(t, b.db.NewRaw("SELECT count(*) FROM "+query).Scan(t.Context(), &n))
		return n
	}
	b.eventually(func() bool { return count("webhooks WHERE headers::text LIKE '%in plain text%'") == 0 })
	b.eventually(func() bool { return count("audit_log") == before+1 })
	var w delivery.Webhook
	require.NoError(t, b.db.NewSelect().Model(&w).Scan(t.Context()))
	box, err := seal.New(b.cfg.Keyset)
	require.NoError(t, err)
	plain, err := box.Open(w.Headers[0].Sealed, w.ID, delivery.HeaderField("Cookie"))
	require.NoError(t, err)
	require.Equal(t, "in plain text", string(plain))
}

// TestLeaderErasesEveryPage of a person with more deliveries than one transaction erases.
func TestLeaderErasesEveryPage(t *testing.T) {
	b := setup(t)
	c := &db.Candidate{CompanyID: b.co.ID, FirstName: "Ada", LastName: "Byron"}
	email := "ada@pages.example"
	c.Email = &email
	require.NoError(t, pg.InTx(t.Context(), b.db, func(ctx context.Context, tx bun.Tx) error {
		return db.CreateCandidate(ctx, tx, c, false)
	}))
	event := &delivery.Event{
		CompanyID: &b.co.ID,
		Type:      "note.created",
		Data:      json.RawMessage(`{"for":"ada@pages.example"}`),
	}
	require.NoError(t, pg.InTx(t.Context(), b.db, func(ctx context.Context, tx bun.Tx) error {
		_, err := delivery.RecordEvent(ctx, tx, event)
		return err
	}))
	_, err := b.db.ExecContext(t.Context(), `INSERT INTO deliveries
		(id, event_id, webhook_id, company_id, event_type, status, attempts, body, created_at, updated_at)
		SELECT uuid_v7(), ?, w.id, w.company_id, 'note.created', 'succeeded', 1, 'ada@pages.example', now(), now()
		FROM webhooks w, generate_series(1, 2500)`, event.ID)
	require.NoError(t, err)
	var e *db.Erasure
	require.NoError(t, pg.InTx(t.Context(), b.db, func(ctx context.Context, tx bun.Tx) (err error) {
		e, _, err = db.BeginErasure(ctx, tx, c.ID, db.ErasureRequested)
		return err
	}))
	b.work()
	b.eventually(func() bool {
		_, err := b.db.ExecContext(t.Context(), "UPDATE erasures SET not_before = now() WHERE done_at IS NULL")
		require.NoError(t, err)
		e, err = db.GetErasure(t.Context(), b.db, c.ID)
		require.NoError(t, err)
		return e.DoneAt != nil
	})
	require.GreaterOrEqual(t, e.Removed["deliveries"], int64(2500))
	var left int
	require.NoError(t, b.db.NewRaw("SELECT count(*) FROM deliveries WHERE body = 'ada@pages.example'").
		Scan(t.Context(), &left))
	require.Zero(t, left)
}

func partition(table string, now time.Time, days int) string {
	return table + "_" + now.AddDate(0, 0, days).Format("20060102")
}

func (b *bundle) exists(table string) (exists bool) {
	b.t.Helper()
	require.NoError(b.t, b.db.NewRaw("SELECT to_regclass(?) IS NOT NULL", table).Scan(b.t.Context(), &exists))
	return exists
}

func (b *bundle) makeFormerSchedule() client.ScheduleHandle {
	b.t.Helper()
	c, err := client.Dial(client.Options{HostPort: b.cfg.Temporal.Address, Namespace: b.cfg.Temporal.Namespace})
	require.NoError(b.t, err)
	b.t.Cleanup(c.Close)
	h, err := c.ScheduleClient().Create(b.t.Context(), client.ScheduleOptions{
		ID: "greenroom-upkeep", Spec: client.ScheduleSpec{Intervals: []client.ScheduleIntervalSpec{{Every: time.Hour}}},
		Action: &client.ScheduleWorkflowAction{Workflow: "KeepHouse", TaskQueue: b.cfg.Temporal.TaskQueue},
	})
	require.NoError(b.t, err)
	return h
}

func (b *bundle) makeNamespace() {
	b.t.Helper()
	c, err := client.NewNamespaceClient(client.Options{HostPort: b.cfg.Temporal.Address})
	require.NoError(b.t, err)
	defer c.Close()
	require.NoError(b.t, c.Register(b.t.Context(), &workflowservice.RegisterNamespaceRequest{
		Namespace: b.cfg.Temporal.Namespace, WorkflowExecutionRetentionPeriod: durationpb.New(24 * time.Hour),
	}))
}
