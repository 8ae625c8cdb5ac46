package db_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"greenroom/db"
	"greenroom/db/delivery"
	"greenroom/db/pg"
)

// TestSealHeaders: an older version stored the values of most headers in plain text.
func TestSealHeaders(t *testing.T) {
	t.Parallel()
	s := setupSets(t)
	set := s.global(db.WebhookChange{Start: to("https://a.test/start"), Auth: basic("user", "secret")}, false)
	sealed := s.hooks(set.ID)[0]
	for range 101 { // more than one page
		w, err := s.kit().NewWebhook("", "")
		require.NoError(t, err)
		w.URL, w.Events = "https://b.test", []string{}
		w.Headers = []delivery.WebhookHeader{{Name: "Cookie", Value: "clear-1"}, {Name: "X-Gitlab-Token", Value: "clear-2"}}
		require.NoError(t, delivery.CreateWebhook(s.ctx, s, w))
	}
	n, err := db.SealHeaders(s.ctx, s, s.box)
	require.NoError(t, err)
	require.Equal(t, 101, n)
	require.Zero(t, s.count("SELECT count(*) FROM webhooks WHERE headers::text LIKE '%clear-%'"))
	var hooks []delivery.Webhook
	require.NoError(t, s.NewSelect().Model(&hooks).Where("w.headers <> '[]' AND w.set_id IS NULL").Scan(s.ctx))
	for i := range hooks {
		for j, want := range []string{"clear-1", "clear-2"} {
			h := hooks[i].Headers[j]
			plain, err := s.box.Open(h.Sealed, hooks[i].ID, delivery.HeaderField(h.Name))
			require.NoError(t, err)
			require.Equal(t, want, string(plain))
		}
	}
	same, err := delivery.GetWebhook(s.ctx, s, sealed.ID)
	require.NoError(t, err)
	require.Equal(t, sealed.Headers, same.Headers, "what is sealed stays")
	n, err = db.SealHeaders(s.ctx, s, s.box)
	require.NoError(t, err)
	require.Zero(t, n)
}

// TestWebhookSet_a_new_receiver_gets_no_old_credentials covers the company's settings, a job's and a job's copy.
func TestWebhookSet_a_new_receiver_gets_no_old_credentials(t *testing.T) {
	t.Parallel()
	for name, auth := range map[string]*db.WebhookAuth{"basic": basic("user", "secret"), "apikey": apiKey("X-Key", "k1")} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := setupSets(t)
			seed := db.WebhookChange{Start: to("https://a.test/start"), Submission: to("https://b.test/end"), Auth: auth}
			dropped := func(set *db.WebhookSet) {
				t.Helper()
				require.Nil(t, set.BasicPassword)
				require.Nil(t, set.APIKeyValue)
				for _, h := range s.hooks(set.ID) {
					require.Empty(t, h.Headers)
				}
			}
			s.global(seed, false)
			set := s.global(db.WebhookChange{Start: to("https://b.test/start")}, false)
			require.Len(t, s.hooks(set.ID)[0].Headers, 1, "b.test has the credentials already")
			dropped(
				s.global(db.WebhookChange{Submission: &db.WebhookTarget{URL: new("https://evil.test"), Status: new(bool)}}, false),
			)
			set = s.global(seed, false)
			require.Len(t, s.hooks(set.ID)[1].Headers, 1)

			job := &db.Job{CompanyID: s.company, Title: "J"}
			s.tx(func(tx bun.Tx) error { return db.CreateJob(s.ctx, tx, job) })
			dropped(s.One(job, db.WebhookChange{Start: to("https://a.test:8443/start")}))
			company, err := db.CompanyWebhooks(s.ctx, s, s.company)
			require.NoError(t, err)
			require.Len(t, s.hooks(company.ID)[0].Headers, 1, "the company's own set is not changed")
		})
	}
}

func TestWebhookSet_the_platform_holds_a_webhook(t *testing.T) {
	t.Parallel()
	s := setupSets(t)
	set := s.global(db.WebhookChange{Start: to("https://a.test/start")}, false)
	_, err := s.ExecContext(
		s.ctx,
		"UPDATE webhooks SET is_active = false, held_by_platform = true WHERE set_id = ?",
		set.ID,
	)
	require.NoError(t, err)
	change := func(deps db.SetDeps) error {
		return s.try(func(tx bun.Tx) error {
			_, err := db.ChangeCompanyWebhooks(s.ctx, tx, deps, s.company, db.WebhookChange{Start: to("https://a.test/x")}, true)
			return err
		})
	}
	var state *pg.StateError
	require.ErrorAs(t, change(s.kit()), &state)
	platform := s.kit()
	platform.Platform = true
	require.NoError(t, change(platform))
	require.True(t, s.hooks(set.ID)[0].IsActive)
}
