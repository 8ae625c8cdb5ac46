package db_test

import (
	"context"
	"encoding/base64"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"greenroom/db"
	"greenroom/db/catalog"
	"greenroom/db/delivery"
	"greenroom/db/pg"
	"greenroom/db/seal"
)

// setting is a company whose AI interviews' webhooks are set.
type setting struct {
	*bundle
	box *seal.Box
}

func setupSets(t *testing.T) *setting {
	t.Helper()
	keyset, err := seal.NewKeyset()
	require.NoError(t, err)
	box, err := seal.New(keyset)
	require.NoError(t, err)
	return &setting{bundle: setup(t), box: box}
}

func (s *setting) kit() db.SetDeps {
	return db.SetDeps{MaxWebhooks: 1000, Box: s.box, NewWebhook: func(string, string) (*delivery.Webhook, error) {
		now := time.Now().UTC()
		return &delivery.Webhook{
			ID:             pg.NewID(),
			OwnerCompanyID: &s.company,
			Profile:        "ai-interviews",
			Secret:         []byte("x"),
			CreatedAt:      now,
			UpdatedAt:      now,
		}, nil
	}}
}

func (s *setting) global(c db.WebhookChange, everywhere bool) *db.WebhookSet {
	s.t.Helper()
	var set *db.WebhookSet
	s.tx(func(tx bun.Tx) (err error) {
		set, err = db.ChangeCompanyWebhooks(s.ctx, tx, s.kit(), s.company, c, everywhere)
		return err
	})
	return set
}

func (s *setting) One(job *db.Job, c db.WebhookChange) *db.WebhookSet {
	s.t.Helper()
	var set *db.WebhookSet
	s.tx(func(tx bun.Tx) (err error) { set, err = db.ChangeJobWebhooks(s.ctx, tx, s.kit(), job, c); return err })
	return set
}

func to(url string) *db.WebhookTarget { return &db.WebhookTarget{URL: &url} }

func off() *db.WebhookTarget { no := false; return &db.WebhookTarget{Status: &no} }

func basic(name, password string) *db.WebhookAuth {
	return &db.WebhookAuth{Type: db.AuthBasic, Username: &name, Password: &password}
}

func apiKey(header, value string) *db.WebhookAuth {
	return &db.WebhookAuth{Type: db.AuthAPIKey, Header: &header, Value: &value}
}

// told starts an interview of the job and returns the addresses of the sets' webhooks that hear of it.
func (s *setting) told(job *db.Job) []string {
	s.t.Helper()
	c := s.candidate("Ada", "Byron", uuid.NewString()+"@mail.test")
	i := s.interviewOf(c, s.agent(db.Online), &job.ID)
	s.tx(func(tx bun.Tx) error { _, err := db.StartInterview(s.ctx, tx, i.ID); return err })
	urls := []string{}
	require.NoError(
		s.t,
		s.NewRaw(`SELECT w.url FROM deliveries d JOIN webhooks w ON w.id = d.webhook_id JOIN events e ON e.id = d.event_id
		WHERE w.set_id IS NOT NULL AND e.context::jsonb->'interview'->>'id' = ? ORDER BY w.url`, i.ID.String()).Scan(s.ctx, &urls),
	)
	return urls
}

// hooks are the webhooks of a set that were not deleted, the start's first.
func (s *setting) hooks(set uuid.UUID) []delivery.Webhook {
	s.t.Helper()
	hooks := []delivery.Webhook{}
	require.NoError(
		s.t,
		s.NewSelect().
			Model(&hooks).
			Where("w.set_id = ? AND w.deleted_at IS NULL", set).
			OrderExpr("w.events DESC").
			Scan(s.ctx),
	)
	return hooks
}

func (s *setting) header(w delivery.Webhook) string {
	s.t.Helper()
	require.Len(s.t, w.Headers, 1)
	value, err := s.box.Open(w.Headers[0].Sealed, w.ID, delivery.HeaderField(w.Headers[0].Name))
	require.NoError(s.t, err)
	return w.Headers[0].Name + ": " + string(value)
}

func TestWebhookSet_two_webhooks_follow(t *testing.T) {
	t.Parallel()
	s := setupSets(t)
	set := s.global(
		db.WebhookChange{
			Start:      to("https://a.test/start"),
			Submission: to("https://a.test/end"),
			Auth:       basic("user", "pa:ss"),
		},
		false,
	)
	hooks := s.hooks(set.ID)
	require.Len(t, hooks, 2)
	require.Equal(t, []string{catalog.InterviewStarted}, hooks[0].Events)
	require.Equal(t, []string{catalog.InterviewCompleted}, hooks[1].Events)
	want := "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte("user:pa:ss"))
	for _, h := range hooks {
		require.True(t, h.IsActive)
		require.Equal(t, want, s.header(h))
		require.Equal(t, s.company, *h.CompanyID)
	}
	require.NotContains(t, string(set.BasicPassword), "pa:ss", "the password is sealed")
}

func TestWebhookSet_keeps_absent_settings(t *testing.T) {
	t.Parallel()
	s := setupSets(t)
	first := s.global(db.WebhookChange{Start: to("https://a.test/start"), Auth: basic("user", "secret")}, false)
	set := s.global(db.WebhookChange{Submission: to("https://a.test/end")}, false)
	require.Equal(t, first.ID, set.ID, "no job has it: it is changed in place")
	require.Equal(t, "https://a.test/start", *set.StartURL)
	hooks := s.hooks(set.ID)
	require.Len(t, hooks, 2)
	require.Equal(t, s.header(hooks[0]), s.header(hooks[1]), "one credential for both")

	set = s.global(db.WebhookChange{Start: off()}, false)
	require.Equal(t, "https://a.test/start", *set.StartURL, "its address stays")
	require.False(t, s.hooks(set.ID)[0].IsActive)
	require.True(t, s.hooks(set.ID)[1].IsActive)

	// The other credential takes its place; the first stays stored and can be taken again without its password.
	s.global(db.WebhookChange{Auth: apiKey("X-Key", "k1")}, false)
	require.Equal(t, "X-Key: k1", s.header(s.hooks(set.ID)[1]))
	s.global(db.WebhookChange{Auth: &db.WebhookAuth{Type: db.AuthBasic}}, false)
	require.Equal(
		t,
		"Authorization: Basic "+base64.StdEncoding.EncodeToString([]byte("user:secret")),
		s.header(s.hooks(set.ID)[1]),
	)

	no := false
	s.global(db.WebhookChange{Auth: &db.WebhookAuth{Type: db.AuthBasic, Status: &no}}, false)
	require.Empty(t, s.hooks(set.ID)[1].Headers, "credentials that are off are not sent")
}

func TestWebhookSet_refuses_what_lacks_something(t *testing.T) {
	t.Parallel()
	s := setupSets(t)
	name := "user"
	for want, c := range map[string]db.WebhookChange{
		"start.url is required":           {Start: &db.WebhookTarget{}},
		"submission.url is required":      {Submission: &db.WebhookTarget{}},
		"auth.basic.username is required": {Auth: &db.WebhookAuth{Type: db.AuthBasic}},
		"auth.basic.password is required": {Auth: &db.WebhookAuth{Type: db.AuthBasic, Username: &name}},
		"auth.apikey.header is required":  {Auth: &db.WebhookAuth{Type: db.AuthAPIKey}},
		"auth.apikey.apikey is required":  {Auth: &db.WebhookAuth{Type: db.AuthAPIKey, Header: &name}},
		"lock companies: not found":       {},
	} {
		company := s.company
		if c == (db.WebhookChange{}) {
			company = pg.NewID()
		}
		err := pg.InTx(s.ctx, s, func(ctx context.Context, tx bun.Tx) error {
			_, err := db.ChangeCompanyWebhooks(ctx, tx, s.kit(), company, c, false)
			return err
		})
		require.EqualError(t, err, want)
	}
	n, err := s.NewSelect().Model((*db.WebhookSet)(nil)).Count(s.ctx)
	require.NoError(t, err)
	require.Zero(t, n, "nothing is half made")
}

func TestWebhookSet_jobs_that_are_there_keep_theirs(t *testing.T) {
	t.Parallel()
	s := setupSets(t)
	before := s.position("Before any settings", "")
	s.global(db.WebhookChange{Start: to("https://one.test")}, false)
	first := s.position("First", "")
	require.Empty(t, s.told(before))
	require.Equal(t, []string{"https://one.test"}, s.told(first))

	two := s.global(db.WebhookChange{Start: to("https://two.test")}, false)
	second := s.position("Second", "")
	require.Equal(t, []string{"https://one.test"}, s.told(first))
	require.Equal(t, []string{"https://two.test"}, s.told(second))
	require.Equal(
		t,
		two.ID,
		s.global(db.WebhookChange{Start: to("https://two.test")}, false).ID,
		"what changes nothing makes no copy",
	)
}

func TestWebhookSet_of_one_job(t *testing.T) {
	t.Parallel()
	s := setupSets(t)
	s.global(db.WebhookChange{Start: to("https://all.test"), Auth: apiKey("X-Key", "k")}, false)
	a, b := s.position("A", ""), s.position("B", "")
	own := s.One(a, db.WebhookChange{Start: to("https://all.test/own")})
	require.Equal(t, []string{"https://all.test/own"}, s.told(a))
	require.Equal(t, []string{"https://all.test"}, s.told(b))
	require.Equal(t, "X-Key: k", s.header(s.hooks(own.ID)[0]), "credentials come along, sealed for the new row")
	require.Equal(
		t,
		own.ID,
		s.One(a, db.WebhookChange{Start: to("https://own2.test")}).ID,
		"alone on it: changed in place",
	)
	require.Equal(t, []string{"https://own2.test"}, s.told(a))
	none := s.position("Without", "")
	got, err := db.JobWebhooks(s.ctx, s, none.ID)
	require.NoError(t, err)
	require.Equal(t, "https://all.test", *got.StartURL, "new jobs get the company's")
}

func TestWebhookSet_for_all_jobs(t *testing.T) {
	t.Parallel()
	s := setupSets(t)
	before := s.position("Before", "")
	s.global(db.WebhookChange{Start: to("https://one.test")}, false)
	a, b := s.position("A", ""), s.position("B", "")
	own := s.One(b, db.WebhookChange{Start: to("https://own.test")})
	waiting := s.hooks(own.ID)[0]
	require.Equal(t, []string{"https://own.test"}, s.told(b))

	all := s.global(db.WebhookChange{Start: to("https://all.test")}, true)
	for _, job := range []*db.Job{before, a, b} {
		require.Equal(t, []string{"https://all.test"}, s.told(job), job.Title)
	}
	left := s.hooks(own.ID)
	require.Len(t, left, 1)
	require.Equal(t, waiting.ID, left[0].ID)
	require.Equal(t, "https://all.test", left[0].URL, "what still waits follows to the new address")

	// Once nothing waits, the next change removes those that no set has any more.
	_, err := s.ExecContext(s.ctx, "UPDATE webhook_sets SET updated_at = now() - interval '1 hour'")
	require.NoError(t, err)
	s.global(db.WebhookChange{Start: off()}, true)
	require.Len(t, s.hooks(own.ID), 1, "a delivery waits, and the set was changed just now")
	for _, query := range []string{"UPDATE deliveries SET status = 'succeeded'", "DELETE FROM delivery_queue"} {
		_, err := s.ExecContext(s.ctx, query)
		require.NoError(t, err)
	}
	s.One(a, db.WebhookChange{Start: to("https://own.test")})
	require.Len(
		t,
		s.hooks(own.ID),
		1,
		"nothing waits, but the set was changed just now: an event for it may be on its way",
	)
	_, err = s.ExecContext(s.ctx, "UPDATE webhook_sets SET updated_at = now() - interval '1 hour'")
	require.NoError(t, err)
	s.One(a, db.WebhookChange{Start: to("https://own2.test")})
	require.Empty(t, s.hooks(own.ID))
	var sets []uuid.UUID
	require.NoError(t, s.NewRaw("SELECT id FROM webhook_sets").Scan(s.ctx, &sets))
	require.Len(t, sets, 2, "the company's and the job's")
	require.Contains(t, sets, all.ID)
}

// A receiver that answered 410 stays disabled until its settings are sent again.
func TestWebhookSet_keeps_a_disabled_webhook_disabled(t *testing.T) {
	t.Parallel()
	s := setupSets(t)
	set := s.global(db.WebhookChange{Start: to("https://a.test"), Submission: to("https://b.test")}, false)
	_, err := s.ExecContext(
		s.ctx,
		"UPDATE webhooks SET is_active = false, disabled_reason = 'gone' WHERE set_id = ?",
		set.ID,
	)
	require.NoError(t, err)
	set, err = db.CompanyWebhooks(s.ctx, s, s.company)
	require.NoError(t, err)
	require.False(t, *set.StartStatus, "it tells how things are")
	s.global(db.WebhookChange{Start: to("https://a.test"), Auth: apiKey("X-Key", "k")}, false)
	hooks := s.hooks(set.ID)
	require.True(t, hooks[0].IsActive)
	require.Nil(t, hooks[0].DisabledReason)
	require.False(t, hooks[1].IsActive)
	require.Equal(t, "X-Key: k", s.header(hooks[1]))
}

func TestWebhookSet_concurrent_writers(t *testing.T) {
	t.Parallel()
	s := setupSets(t)
	s.global(db.WebhookChange{Start: to("https://zero.test")}, false)
	errs := make(chan error)
	const writers = 8
	for i := range writers {
		go func() {
			url := "https://" + string(rune('a'+i)) + ".test"
			errs <- pg.InTx(s.ctx, s, func(ctx context.Context, tx bun.Tx) error {
				if i%2 == 0 {
					return db.CreateJob(ctx, tx, &db.Job{CompanyID: s.company, Title: url})
				}
				_, err := db.ChangeCompanyWebhooks(ctx, tx, s.kit(), s.company,
					db.WebhookChange{Start: to(url), Submission: to(url)}, i%4 == 1)
				return err
			})
		}()
	}
	for range writers {
		require.NoError(t, <-errs)
	}
	var torn int
	require.NoError(t, s.NewRaw("SELECT count(*) FROM webhook_sets WHERE start_url <> submission_url").Scan(s.ctx, &torn))
	require.Zero(t, torn)
	require.NoError(t, s.NewRaw(`SELECT count(*) FROM (SELECT set_id, events FROM webhooks WHERE set_id IS NOT NULL
		GROUP BY 1, 2 HAVING count(*) > 1) x`).Scan(s.ctx, &torn))
	require.Zero(t, torn, "one webhook for each moment")
}
