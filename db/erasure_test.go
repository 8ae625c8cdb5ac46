package db_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"greenroom/db"
	"greenroom/db/catalog"
	"greenroom/db/delivery"
	"greenroom/db/pg"
)

// dump is every row of every table as text.
func (b *bundle) dump() string {
	b.t.Helper()
	var tables []string
	require.NoError(b.t, b.NewRaw(`SELECT c.oid::regclass::text
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE c.relkind = 'r' AND n.nspname = 'public'`).Scan(b.ctx, &tables))
	var all strings.Builder
	for _, table := range tables {
		var rows []string
		require.NoError(b.t, b.NewRaw("SELECT replace(t::text, '\"\"', '\"') FROM "+table+" t").Scan(b.ctx, &rows))
		for _, r := range rows {
			all.WriteString(table + " " + r + "\n")
		}
	}
	return all.String()
}

func (b *bundle) erase(candidate uuid.UUID) (e *db.Erasure, begun bool) {
	b.t.Helper()
	b.tx(func(tx bun.Tx) (err error) {
		e, begun, err = db.BeginErasure(b.ctx, tx, candidate, db.ErasureRequested)
		return err
	})
	return e, begun
}

// finishErasures does all steps, and ends their waits.
func (b *bundle) finishErasures() {
	b.t.Helper()
	for range 50 {
		_, err := b.ExecContext(b.ctx, "UPDATE erasures SET not_before = now() - interval '1 s' WHERE done_at IS NULL")
		require.NoError(b.t, err)
		_, err = b.ExecContext(b.ctx, "DELETE FROM stray_files")
		require.NoError(b.t, err)
		ids, err := db.DueErasures(b.ctx, b, 10)
		require.NoError(b.t, err)
		if len(ids) == 0 {
			return
		}
		for _, id := range ids {
			_, err := db.ContinueErasure(b.ctx, b.DB, id)
			require.NoError(b.t, err)
		}
	}
	b.t.Fatal("an erasure does not end")
}

func TestErasure(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.candidate("Zyxwvuta", "Qponmlk", "zyx+wvu@forget.example")
	other := b.candidate("Grace", "Hopper", "grace@stays.example")
	a := b.agent(db.Online)
	running, kept := b.interviewOf(c, a, nil), b.interviewOf(other, a, nil)
	b.tx(func(tx bun.Tx) error { _, err := db.StartInterview(b.ctx, tx, running.ID); return err })
	published, err := json.Marshal(map[string]string{"note": "for ZYX+wvu@forget.example"})
	require.NoError(t, err)
	event := &delivery.Event{CompanyID: &b.company, Type: "note.created", Data: published}
	b.tx(func(tx bun.Tx) error { _, err := delivery.RecordEvent(b.ctx, tx, event); return err })
	hook, sent, waiting := pg.NewID(), pg.NewID(), pg.NewID()
	_, err = b.ExecContext(b.ctx, `INSERT INTO webhooks
			(id, company_id, profile, url, events, max_retries, timeout_ms, secret)
		VALUES (?, ?, 'standard', 'https://r.example', '{}', 3, 1000, '')`, hook, b.company)
	require.NoError(t, err)
	for id, status := range map[uuid.UUID]string{sent: "succeeded", waiting: "retrying"} {
		_, err = b.ExecContext(b.ctx, `INSERT INTO deliveries
			(id, event_id, webhook_id, company_id, event_type, status, attempts, body, last_error, created_at, updated_at)
			VALUES (?, ?, ?, ?, 'note.created', ?, 1, convert_to(?, 'UTF8'), NULL, now(), now())`,
			id, event.ID, hook, b.company, status, string(published))
		require.NoError(t, err)
		_, err = b.ExecContext(b.ctx, `INSERT INTO attempts
			(delivery_id, run_id, attempt, workflow_id, started_at, duration_ms, outcome, response)
			VALUES (?, gen_random_uuid(), 1, 'w', now(), 1, 'retry', ?)`, id, string(published))
		require.NoError(t, err)
	}
	veto := &db.Veto{
		CompanyID: b.company, JobID: b.position("Cook", db.JobOpen).ID, CandidateID: c.ID, Comment: "Zyxwvuta left before",
	}
	b.tx(func(tx bun.Tx) error { return db.CreateVeto(b.ctx, tx, veto) })
	b.sourced("p1", "Zyxwvuta Qponmlk", "ZYX+wvu@forget.example")
	b.sourced("p2", "Somebody Else", "else@stays.example")
	asked := b.sourcing(3)
	asked.Request.Query = "like zyx+wvu@forget.example"
	asked.Request.JobURL = "https://jobs.example/?by=ZYX%2Bwvu%40forget.example"
	asked.Result.Job = json.RawMessage(`{"contact":"zyx+wvu@forget.example"}`)
	_, err = b.NewUpdate().Model(asked).WherePK().Column("request", "result").Exec(b.ctx)
	require.NoError(t, err)
	person := []string{"zyxwvuta", "qponmlk", "wvu@forget.example"}
	for _, p := range person {
		require.Contains(t, strings.ToLower(b.dump()), p)
	}

	e, begun := b.erase(c.ID)
	require.True(t, begun)
	require.Equal(t, db.InterviewCanceled, b.get(running.ID).Status)
	b.finishErasures()

	left := strings.ToLower(b.dump())
	for _, p := range person {
		for line := range strings.Lines(left) {
			require.NotContains(t, line, p)
		}
	}
	require.NotContains(t, left, encodedHex("forget.example"), "a dump shows bytea in hex")
	require.Contains(t, left, "grace@stays.example", "another person stays")
	require.Contains(t, left, "else@stays.example", "another sourced person stays")
	require.Equal(t, db.InterviewScheduled, b.get(kept.ID).Status)

	done, err := db.GetErasure(b.ctx, b, c.ID)
	require.NoError(t, err)
	require.NotNil(t, done.DoneAt)
	require.EqualValues(t, 3, done.Removed["deliveries"], "the two above, and one of the bundle's webhook")
	require.EqualValues(t, 2, done.Removed["canceledDeliveries"])
	require.EqualValues(t, 1, done.Removed["vetos"])
	require.EqualValues(t, 1, done.Removed["sourcedProfiles"])
	require.EqualValues(t, 1, done.Removed["sourcingRequests"])
	blank := b.run(asked)
	require.Equal(t, db.RunRequest{Title: asked.Request.Title, JobDescription: asked.Request.JobDescription, Limit: 3},
		blank.Request, "what does not name the person stays")
	require.Empty(t, blank.Result.Job)
	receivers, err := db.ErasureReceivers(b.ctx, b, done)
	require.NoError(t, err)
	require.Len(t, receivers, 1)
	require.Equal(t, hook, receivers[0].WebhookID)
	require.Equal(t, "pending", *receivers[0].Status)
	require.Nil(t, receivers[0].ConfirmedAt)
	err = b.try(func(tx bun.Tx) error { _, err := delivery.RetryDelivery(b.ctx, tx, pg.Scope{}, sent); return err })
	require.ErrorIs(t, err, pg.ErrConflict, "an erased delivery is not sent again")

	again, begun := b.erase(c.ID)
	require.False(t, begun)
	require.Equal(t, e.ID, again.ID)
}

func encodedHex(s string) string {
	const digits = "0123456789abcdef"
	var out strings.Builder
	for _, c := range []byte(s) {
		out.WriteByte(digits[c>>4])
		out.WriteByte(digits[c&15])
	}
	return out.String()
}

// TestExpiredCandidatesAreErased: the day itself is still within the term.
func TestExpiredCandidatesAreErased(t *testing.T) {
	t.Parallel()
	b := setup(t)
	past, today, deleted := b.candidate("A", "B", "a@x.example"), b.candidate("C", "D", "c@x.example"),
		b.candidate("E", "F", "e@x.example")
	b.tx(func(tx bun.Tx) error { return db.DeleteCandidate(b.ctx, tx, deleted.ID) })
	for id, days := range map[uuid.UUID]int{past.ID: 1, today.ID: 0, deleted.ID: 1} {
		_, err := b.ExecContext(b.ctx,
			"UPDATE candidates SET gdpr_expiry_date = (now() AT TIME ZONE 'UTC')::date - ? WHERE id = ?", days, id)
		require.NoError(t, err)
	}
	n, err := db.BeginExpired(b.ctx, b.DB, 10)
	require.NoError(t, err)
	require.Equal(t, 2, n)
	for id, erased := range map[uuid.UUID]bool{past.ID: true, today.ID: false, deleted.ID: true} {
		e, err := db.GetErasure(b.ctx, b, id)
		require.Equal(t, erased, err == nil)
		if erased {
			require.Equal(t, db.ErasureExpired, e.Reason)
		}
	}
	n, err = db.BeginExpired(b.ctx, b.DB, 10)
	require.NoError(t, err)
	require.Zero(t, n)
}

// published records an event that has the address, with its deliveries, and returns those.
func (b *bundle) published(address string) (event uuid.UUID, deliveries []uuid.UUID) {
	b.t.Helper()
	data, err := json.Marshal(map[string]string{"email": address})
	require.NoError(b.t, err)
	e := &delivery.Event{CompanyID: &b.company, Type: catalog.InterviewStarted, Data: data}
	b.tx(func(tx bun.Tx) error { _, err := delivery.RecordEvent(b.ctx, tx, e); return err })
	require.NoError(b.t, b.NewRaw("SELECT id FROM deliveries WHERE event_id = ?", e.ID).Scan(b.ctx, &deliveries))
	require.NotEmpty(b.t, deliveries)
	return e.ID, deliveries
}

// continueTo does pages until the erasure is at the step.
func (b *bundle) continueTo(id uuid.UUID, step string) {
	b.t.Helper()
	for range 100 {
		var at string
		require.NoError(b.t, b.NewRaw("SELECT step FROM erasures WHERE id = ?", id).Scan(b.ctx, &at))
		if at == step {
			return
		}
		b.exec("UPDATE erasures SET not_before = now() - interval '1 s' WHERE id = ?", id)
		_, err := db.ContinueErasure(b.ctx, b.DB, id)
		require.NoError(b.t, err)
	}
	b.t.Fatal("the erasure does not come to " + step)
}

// TestErasureBesideAReplay: what a replay puts back into the queue before, while or after a page erases it is not sent.
func TestErasureBesideAReplay(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.candidate("Ada", "Byron", "ada@replayed.example")
	_, sent := b.published("ada@replayed.example")
	_, kept := b.published("grace@stays.example")
	b.exec("UPDATE deliveries SET status = 'succeeded', attempts = 1, body = 'ada@replayed.example' WHERE id = ?", sent[0])
	b.exec("UPDATE deliveries SET status = 'succeeded', attempts = 1, body = 'grace' WHERE id = ?", kept[0])
	replay := func() *delivery.Replay {
		r := &delivery.Replay{
			WebhookID: b.hook.ID, CompanyID: &b.company, Statuses: []string{"succeeded", "canceled"},
			Since: time.Now().Add(-time.Hour), Until: time.Now().Add(time.Hour),
		}
		b.tx(func(tx bun.Tx) error { return delivery.CreateReplay(b.ctx, tx, r) })
		return r
	}
	e, _ := b.erase(c.ID)

	during := replay()
	err := b.whileLocked(true, func(tx bun.Tx) error {
		p, err := delivery.ReplayPage(b.ctx, tx, during.ID, 10)
		require.Equal(t, 2, p.Requeued)
		return err
	}, func() error { _, err := db.ContinueErasure(b.ctx, b.DB, e.ID); return err })
	require.NoError(t, err)
	status := func(id uuid.UUID) (s string) {
		require.NoError(t, b.NewRaw("SELECT status FROM deliveries WHERE id = ?", id).Scan(b.ctx, &s))
		return s
	}
	require.Equal(t, "canceled", status(sent[0]), "the page waited for the replay")
	require.Equal(t, "pending", status(kept[0]))
	b.exec("UPDATE deliveries SET status = 'succeeded' WHERE id = ?", kept[0])

	p, err := delivery.ReplayPage(b.ctx, b.DB, replay().ID, 10)
	require.NoError(t, err)
	require.Equal(t, 1, p.Requeued, "of the other person alone")
	require.Equal(t, "canceled", status(sent[0]))
}

// TestErasureWaitsForAttemptsInFlight, also of deliveries that have ended, which an operator may be sending again.
func TestErasureWaitsForAttemptsInFlight(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.candidate("Ada", "Byron", "ada@flight.example")
	b.published("ada@flight.example")
	b.exec("UPDATE deliveries SET status = 'succeeded', attempts = 1")
	e, _ := b.erase(c.ID)
	for more := true; more; {
		var err error
		more, err = db.ContinueErasure(b.ctx, b.DB, e.ID)
		require.NoError(t, err)
	}
	waiting, err := db.GetErasure(b.ctx, b, c.ID)
	require.NoError(t, err)
	require.Nil(t, waiting.DoneAt)
	require.Greater(t, time.Until(waiting.NotBefore), time.Minute)
	b.finishErasures()
}

// TestErasureFindsWhatIsMadeMeanwhile: a fan-out makes a delivery of an event, and an attempt stores its body, after the
// page of its deliveries and before the event is erased.
func TestErasureFindsWhatIsMadeMeanwhile(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.candidate("Ada", "Byron", "ada@late.example")
	event, _ := b.published("ada@late.example")
	e, _ := b.erase(c.ID)
	b.continueTo(e.ID, "events")
	late := pg.NewID()
	b.exec(`INSERT INTO deliveries
		(id, event_id, webhook_id, company_id, event_type, status, attempts, body, created_at, updated_at)
		VALUES (?, ?, ?, ?, ?, 'succeeded', 1, 'for ada@late.example', now(), now())`,
		late, event, b.hook.ID, b.company, catalog.InterviewStarted)
	b.finishErasures()
	require.NotContains(t, b.dump(), encodedHex("ada@late.example"))
	err := b.try(func(tx bun.Tx) error { _, err := delivery.RetryDelivery(b.ctx, tx, pg.Scope{}, late); return err })
	require.ErrorIs(t, err, pg.ErrConflict)
}

// TestErasureSurvivesAKill of the process that works on it, in the middle of the second page: another one continues, and
// nothing is counted twice.
func TestErasureSurvivesAKill(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.candidate("Ada", "Byron", "ada@killed.example")
	event, _ := b.published("ada@killed.example")
	const rows = 2500 // pages of 1,000
	b.exec(`INSERT INTO deliveries
		(id, event_id, webhook_id, company_id, event_type, status, attempts, body, created_at, updated_at)
		SELECT uuid_v7(), ?, ?, ?, ?, 'succeeded', 1, 'ada@killed.example', now(), now() FROM generate_series(1, ?)`,
		event, b.hook.ID, b.company, catalog.InterviewStarted, rows)
	e, _ := b.erase(c.ID)
	total := b.count("SELECT count(*) FROM deliveries")
	more, err := db.ContinueErasure(b.ctx, b.DB, e.ID)
	require.NoError(t, err)
	require.True(t, more)
	require.Equal(t, 1000, b.count("SELECT count(*) FROM deliveries WHERE erased_at IS NOT NULL"))

	holder, err := b.BeginTx(b.ctx, nil) // the second page waits for its rows
	require.NoError(t, err)
	defer func() { _ = holder.Rollback() }()
	_, err = holder.ExecContext(b.ctx, "SELECT FROM deliveries WHERE erased_at IS NULL FOR UPDATE")
	require.NoError(t, err)
	killed := make(chan error, 1)
	go func() { _, err := db.ContinueErasure(b.ctx, b.DB, e.ID); killed <- err }()
	require.Eventually(t, func() bool { // the server ends its session, as after kill -9 of the process
		return b.count(`SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
			WHERE datname = current_database() AND wait_event_type = 'Lock'`) > 0
	}, time.Minute, 10*time.Millisecond)
	require.Error(t, <-killed)
	require.NoError(t, holder.Rollback())
	require.Equal(t, 1000, b.count("SELECT count(*) FROM deliveries WHERE erased_at IS NOT NULL"), "nothing of its page")

	b.finishErasures()
	require.Zero(
		t,
		b.count("SELECT count(*) FROM deliveries WHERE erased_at IS NULL AND event_type <> 'candidate.erased'"),
	)
	done, err := db.GetErasure(b.ctx, b, c.ID)
	require.NoError(t, err)
	require.EqualValues(t, total, done.Removed["deliveries"])
	require.NotContains(t, b.dump(), encodedHex("ada@killed.example"))
}
