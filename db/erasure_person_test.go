package db_test

import (
	"encoding/json"
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

// record records an event with that data, byte for byte.
func (b *bundle) record(data string) uuid.UUID {
	b.t.Helper()
	e := &delivery.Event{CompanyID: &b.company, Type: catalog.InterviewStarted, Data: json.RawMessage(data)}
	b.tx(func(tx bun.Tx) error { _, err := delivery.RecordEvent(b.ctx, tx, e); return err })
	return e.ID
}

func (b *bundle) isErased(event uuid.UUID) bool {
	b.t.Helper()
	return b.count("SELECT count(*) FROM events WHERE id = ? AND data LIKE '%\"erased\":true%'", event) == 1
}

// TestErasureReadsEscapes: a publisher may write the same text in many ways, and an event is stored as it was sent.
func TestErasureReadsEscapes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.candidate("Ann", "Lee", "Ann.Lée/x@Example.com")
	b.exec("UPDATE candidates SET phone_number = '+421900123456' WHERE id = ?", c.ID)
	percent := b.candidate("Ann", "Lee", "50%ab@example.com")
	id := c.ID.String()
	var events []uuid.UUID
	for _, data := range []string{
		`{"email":"ann.lée/x@example.com"}`,
		`{"email":"ANN.LÉE/X@EXAMPLE.COM"}`,
		`{"email":"ann.l\u00e9e/x@example.com"}`,
		`{"email":"ann.l\u00C9e\/x\u0040example.com"}`,
		`{"email":"\u0061nn.lée/x@example.com"}`,
		`{"email":"\u0041NN.LÉE/x@ex\u0061mple\u002ecom"}`,
		`{"link":"https://x.example/?to=ann.l%C3%A9e%2Fx%40example.com&a=b"}`,
		`{"log":"{\"to\":\"ann.l\\u00e9e\\/x\\u0040example.com\"}"}`,
		`{"text":"Write to:\nann.lée/x@example.com\nor call"}`,
		`{"text":"I am ann.lée/x@example.com."}`,
		`{"text":"Ann <ann.lée/x@example.com>"}`,
		`{"ann.lée/x@example.com":1}`,
		`{"email":"50%ab@example.com"}`,
		`{"phone":"+421900123456"}`,
		`{"phone":"\u002b421900123456"}`,
		`{"phone":"00421900123456"}`,
		`{"phone":421900123456}`,
		`{"url":"tel:%2B421900123456"}`,
		`{"candidate":"` + id[:4] + `\u00` + encodedHex(id[4:5]) + id[5:] + `"}`,
	} {
		events = append(events, b.record(data))
	}
	b.erase(c.ID)
	b.erase(percent.ID)
	b.finishErasures()
	for _, event := range events {
		var data string
		require.NoError(t, b.NewRaw("SELECT data FROM events WHERE id = ?", event).Scan(b.ctx, &data))
		require.True(t, b.isErased(event), data)
	}
}

// TestErasureSparesOthers whose address or number contains that of the person, and their idempotency keys, without
// which a request that is sent again would be done twice.
func TestErasureSparesOthers(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.candidate("Ann", "Lee", "ann@x.co")
	b.exec("UPDATE candidates SET phone_number = '+42190012' WHERE id = ?", c.ID)
	var others []uuid.UUID
	for _, data := range []string{
		`{"email":"joann@x.co"}`, `{"email":"mary.ann@x.co"}`, `{"email":"mary-ann@x.co"}`, `{"email":"mary+ann@x.co"}`,
		`{"email":"mary\u002dann@x.co"}`, `{"email":"ann@x.com"}`, `{"email":"ann@x.co.uk"}`, `{"email":"ann@x.co-op.uk"}`,
		`{"phone":"+421900123456"}`, `{"phone":"421900123456"}`, `{"at":142190012}`,
	} {
		others = append(others, b.record(data))
	}
	b.exec("UPDATE deliveries SET status = 'retrying', attempts = 1")
	waiting := b.count("SELECT count(*) FROM deliveries")
	key := pg.NewID()
	b.exec("INSERT INTO api_keys (id, name, prefix, hash, scopes) VALUES (?, 'k', 'sk_x', ?, '{}')", key, key[:])
	for name, response := range map[string]string{
		"invite-joann@x.co": `{"id":1}`, "invite-ann@x.co": `{"id":2}`, "other": `{"email":"joann@x.co"}`,
		"hers": `{"email":"ann@x.co"}`,
	} {
		b.exec(`INSERT INTO idempotency_keys (api_key_id, key, request_hash, status_code, response)
			VALUES (?, ?, '', 200, ?)`, key, name, response)
	}
	b.erase(c.ID)
	b.finishErasures()
	for _, event := range others {
		var data string
		require.NoError(t, b.NewRaw("SELECT data FROM events WHERE id = ?", event).Scan(b.ctx, &data))
		require.False(t, b.isErased(event), data)
	}
	require.Equal(t, waiting, b.count("SELECT count(*) FROM deliveries WHERE status = 'retrying'"), "they are delivered")
	var kept []string
	require.NoError(t, b.NewRaw("SELECT key || ' ' || status_code FROM idempotency_keys ORDER BY key").Scan(b.ctx, &kept))
	require.Equal(t, []string{"hers 410", "invite-joann@x.co 200", "other 200"}, kept)
}

// TestErasuresOfOnePersonAtATime: each of two candidates with one address is another person to the erasure of the
// other, and the last one is not.
func TestErasuresOfOnePersonAtATime(t *testing.T) {
	t.Parallel()
	b := setup(t)
	one, two := b.candidate("Ann", "Lee", "ann@twice.example"), b.candidate("Ann", "Lee", "Ann@twice.example")
	event := b.record(`{"email":"ann@twice.example"}`)
	begin := func(c *db.Candidate) func(tx bun.Tx) error {
		return func(tx bun.Tx) error { _, _, err := db.BeginErasure(b.ctx, tx, c.ID, db.ErasureRequested); return err }
	}
	ended := make(chan error, 1)
	b.tx(func(tx bun.Tx) error {
		if err := begin(one)(tx); err != nil {
			return err
		}
		go func() { ended <- b.try(begin(two)) }()
		require.Eventually(t, func() bool { // the second waits, or has ended
			return len(ended) > 0 || b.count(`SELECT count(*) FROM pg_stat_activity
				WHERE datname = current_database() AND wait_event_type = 'Lock'`) > 0
		}, time.Minute, 5*time.Millisecond)
		return nil
	})
	require.NoError(t, <-ended)
	b.finishErasures()
	require.True(t, b.isErased(event))
}

// TestAnErasureWaitsForLateAttempts of a delivery that was not on the last page.
func TestAnErasureWaitsForLateAttempts(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.candidate("Ada", "Byron", "ada@pages.example")
	event := b.record(`{"email":"ada@pages.example"}`)
	others := b.record(`{"email":"grace@stays.example"}`)
	e, _ := b.erase(c.ID)
	b.continueTo(e.ID, "late events")
	insert := `INSERT INTO deliveries
		(id, event_id, webhook_id, company_id, event_type, status, attempts, created_at, updated_at)
		SELECT uuid_v7(), ?, ?, ?, ?, 'pending', 0, now(), now() FROM generate_series(1, ?)`
	b.exec(insert, event, b.hook.ID, b.company, catalog.InterviewStarted, 1)
	b.exec(insert, others, b.hook.ID, b.company, catalog.InterviewStarted, 1000) // a page
	b.continueTo(e.ID, "recheck")
	require.Equal(t, 1,
		b.count("SELECT count(*) FROM erasures WHERE id = ? AND not_before > now() + interval '1 min'", e.ID))
}

// TestExpiryOfOthers goes on when a candidate cannot be erased.
func TestExpiryOfOthers(t *testing.T) {
	t.Parallel()
	b := setup(t)
	bad, good := b.candidate("A", "B", "a@x.example"), b.candidate("C", "D", "c@x.example")
	for id, days := range map[uuid.UUID]int{bad.ID: 2, good.ID: 1} {
		b.exec("UPDATE candidates SET gdpr_expiry_date = (now() AT TIME ZONE 'UTC')::date - ? WHERE id = ?", days, id)
	}
	b.exec("ALTER TABLE erasures ADD CHECK (candidate_id <> '" + bad.ID.String() + "')")
	n, err := db.BeginExpired(b.ctx, b.DB, 10)
	require.ErrorContains(t, err, bad.ID.String())
	require.Equal(t, 1, n)
	_, err = db.GetErasure(b.ctx, b, good.ID)
	require.NoError(t, err)
}

// TestErasureRefusesALateAnalysis, which waits for the candidate while the person is erased.
func TestErasureRefusesALateAnalysis(t *testing.T) {
	t.Parallel()
	b := setup(t)
	i := b.finished()
	b.tx(func(tx bun.Tx) error { return db.FailAnalysis(b.ctx, tx, i.ID, "took too long") })
	err := b.whileLocked(true, func(tx bun.Tx) error {
		_, _, err := db.BeginErasure(b.ctx, tx, i.CandidateID, db.ErasureRequested)
		return err
	}, func() error { return b.analyse(i, `{"overallRating":4,"summary":"Zyxwvuta is fluent"}`) })
	var state *pg.StateError
	require.ErrorAs(t, err, &state)
	require.Equal(t, pg.StateError{Resource: "interview", State: "deleted"}, *state)
	b.finishErasures()
	require.NotContains(t, b.dump(), "Zyxwvuta")
	require.Zero(t, b.count("SELECT count(*) FROM candidates WHERE id = ? AND overall_rating IS NOT NULL", i.CandidateID))
}

// TestErasuresOfTwoPersonsAtATime: each report names the webhooks that got the data of its person alone.
func TestErasuresOfTwoPersonsAtATime(t *testing.T) {
	t.Parallel()
	b := setup(t)
	one, two := b.candidate("Ann", "Lee", "ann@one.example"), b.candidate("Bob", "Fox", "bob@two.example")
	hooks := map[uuid.UUID]uuid.UUID{}
	for id, email := range map[uuid.UUID]string{one.ID: "ann@one.example", two.ID: "bob@two.example"} {
		kind := "of." + id.String()
		hooks[id] = b.webhook(kind).ID
		e := &delivery.Event{CompanyID: &b.company, Type: kind, Data: json.RawMessage(`{"email":"` + email + `"}`)}
		b.tx(func(tx bun.Tx) error { _, err := delivery.RecordEvent(b.ctx, tx, e); return err })
	}
	b.exec("UPDATE deliveries SET status = 'succeeded', attempts = 1")
	for id := range hooks {
		b.erase(id)
	}
	b.finishErasures()
	for id, hook := range hooks {
		e, err := db.GetErasure(b.ctx, b, id)
		require.NoError(t, err)
		receivers, err := db.ErasureReceivers(b.ctx, b, e)
		require.NoError(t, err)
		require.Len(t, receivers, 1)
		require.Equal(t, hook, receivers[0].WebhookID)
	}
}

// TestErasureSendsNothingOfThePerson: its own events are delivered before it erases any.
func TestErasureSendsNothingOfThePerson(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.candidate("Zyxwvuta", "Qponmlk", "zyx@forget.example")
	b.exec("UPDATE candidates SET phone_number = '+421900123456' WHERE id = ?", c.ID)
	a := b.agent(db.Online)
	running := b.interviewOf(c, a, nil)
	b.interviewOf(c, a, nil) // scheduled
	b.tx(func(tx bun.Tx) error { _, err := db.StartInterview(b.ctx, tx, running.ID); return err })
	known := b.count("SELECT count(*) FROM events")
	b.erase(c.ID)
	var events []string
	require.NoError(t, b.NewRaw("SELECT data || context FROM events ORDER BY id OFFSET ?", known).Scan(b.ctx, &events))
	require.NotEmpty(t, events)
	for _, e := range events {
		for _, p := range []string{"Zyxwvuta", "Qponmlk", "zyx@forget.example", "421900123456"} {
			require.NotContains(t, e, p)
		}
	}
}

// TestErasureFindsAnEventInProgress: the transaction of a publisher ends after the erasure has read all events.
func TestErasureFindsAnEventInProgress(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.candidate("Ada", "Byron", "ada@slow.example")
	publisher, err := b.BeginTx(b.ctx, nil)
	require.NoError(t, err)
	defer func() { _ = publisher.Rollback() }()
	event := &delivery.Event{CompanyID: &b.company, Type: "note.created", Data: json.RawMessage(`"ada@slow.example"`)}
	_, err = delivery.RecordEvent(b.ctx, publisher, event)
	require.NoError(t, err)
	e, _ := b.erase(c.ID)
	for more := true; more; {
		more, err = db.ContinueErasure(b.ctx, b.DB, e.ID)
		require.NoError(t, err)
	}
	require.NoError(t, publisher.Commit())
	b.finishErasures()
	require.True(t, b.isErased(event.ID))
}
