package admin_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"greenroom/cmd/internal/admin"
	"greenroom/db"
	"greenroom/db/delivery"
)

// rows counts the rows of a table.
func (b *bundle) rows(table string) (n int) {
	b.t.Helper()
	require.NoError(b.t, b.DB.NewRaw("SELECT count(*) FROM "+table).Scan(b.ctx, &n))
	return n
}

func (b *bundle) exec(statement string, args ...any) {
	b.t.Helper()
	_, err := b.DB.ExecContext(b.ctx, statement, args...)
	require.NoError(b.t, err)
}

// Each request is refused after a part of its work was possible.
func TestRefused_requests_store_nothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := b.hook()
	id := b.publish()[0].ID
	user, err := b.CreateStaff(b.ctx, admin.StaffRequest{Company: "Acme", Username: "eva"})
	require.NoError(t, err)
	b.exec("UPDATE staff SET is_active = false WHERE id = ?", user.ID)
	b.exec("DELETE FROM commands")
	badScope := admin.KeyRequest{Company: "New", CreateCompany: true, Scopes: []string{"read:everything"}}
	tables := []string{
		"companies", "api_keys", "audit_log", "staff", "webhooks", "deliveries", "replays", "commands", "delivery_queue",
	}
	count := func() (counts []int) {
		for _, table := range tables {
			counts = append(counts, b.rows(table))
		}
		return counts
	}
	before := count()
	for name, request := range map[string]func() error{
		"a_key_with_a_bad_scope_for_a_new_company": func() error { _, err := b.CreateKey(b.ctx, badScope); return err },
		"a_user_that_exists": func() error {
			_, err := b.CreateStaff(b.ctx, admin.StaffRequest{Company: "Acme", Username: "Eva"})
			return err
		},
		"a_token_of_an_inactive_user": func() error { _, err := b.CreateToken(b.ctx, user.ID, 1); return err },
		"a_webhook_of_an_unknown_company": func() error {
			_, err := b.CreateWebhook(b.ctx, admin.WebhookRequest{
				Company: "Nobody", Profile: "instaview", URL: "https://a.example", Events: []string{"5"},
			})
			return err
		},
		"a_replay_of_an_unknown_event": func() error {
			_, err := b.Replay(b.ctx, admin.ReplayRequest{
				Webhook: w.ID, Since: time.Now().Add(-time.Hour), Events: []string{"5", "nope"},
			})
			return err
		},
		"a_retry_of_a_pending_delivery":   func() error { _, err := b.RetryDelivery(b.ctx, id); return err },
		"a_cancellation_without_delivery": func() error { _, err := b.CancelDelivery(b.ctx, uuid.New()); return err },
		"a_reset_without_webhook":         func() error { _, err := b.ResetCircuit(b.ctx, uuid.New()); return err },
	} {
		t.Run(name, func(t *testing.T) {
			require.Error(t, request())
			require.Equal(t, before, count())
		})
	}
}

func TestKeys_show_why_they_are_refused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	k, err := b.CreateKey(b.ctx, admin.KeyRequest{Company: "Acme"})
	require.NoError(t, err)
	for _, tt := range []struct {
		change string
		state  db.KeyState
	}{
		{"suspended_at = now(), suspended_reason = 'leaked'", db.KeySuspended},
		{"expires_at = now() - interval '1 minute'", db.KeyExpired},
		{"revoked_at = now()", db.KeyRevoked},
	} {
		b.exec("UPDATE api_keys SET "+tt.change+" WHERE id = ?", k.ID)
		keys, err := b.ListKeys(b.ctx, "Acme", 10)
		require.NoError(t, err)
		require.Equal(t, tt.state, keys[0].State, "the strongest reason, after "+tt.change)
	}
}

func TestSuspendKey_again_replaces_the_reason(t *testing.T) {
	t.Parallel()
	b := setup(t)
	k, err := b.CreateKey(b.ctx, admin.KeyRequest{Company: "Acme", Scopes: []string{"read:jobs"}, PerMinute: 9})
	require.NoError(t, err)
	for _, reason := range []string{"leaked", "unpaid"} {
		suspended, err := b.SuspendKey(b.ctx, k.ID, reason)
		require.NoError(t, err)
		require.Equal(t, reason, *suspended.SuspendedReason)
		require.Equal(t, []string{"read:jobs"}, suspended.Scopes)
		require.Equal(t, 9, suspended.RatePerMinute)
	}
	unknown := uuid.New()
	_, err = b.SuspendKey(b.ctx, unknown, "leaked")
	require.EqualError(t, err, "there is no key "+unknown.String())
}

func TestCreateKey_replaces_the_configured_limits_separately(t *testing.T) {
	t.Parallel()
	b := setup(t)
	k, err := b.CreateKey(b.ctx, admin.KeyRequest{Company: "Acme", PerHour: 5})
	require.NoError(t, err)
	require.Equal(t, []int{60, 5}, []int{k.RatePerMinute, k.RatePerHour})
	require.Equal(t, admin.DefaultKeyName, k.Name)
}

func TestStaff_inactive(t *testing.T) {
	t.Parallel()
	b := setup(t)
	user, err := b.CreateStaff(b.ctx, admin.StaffRequest{Company: "Acme", Username: "eva", Password: "long enough"})
	require.NoError(t, err)
	b.exec("UPDATE staff SET is_active = false WHERE id = ?", user.ID)
	users, err := b.ListStaff(b.ctx, "Acme")
	require.NoError(t, err)
	require.Equal(t, "inactive", users[0].State)
	_, err = b.CreateToken(b.ctx, user.ID, 1)
	require.EqualError(t, err, "user eva is not active")
}

func TestStaff_of_other_companies(t *testing.T) {
	t.Parallel()
	b := setup(t)
	require.NoError(t, db.CreateCompany(b.ctx, b.DB, &db.Company{Name: "Other"}))
	for _, company := range []string{"Acme", "Other"} {
		_, err := b.CreateStaff(b.ctx, admin.StaffRequest{Company: company, Username: "eva"})
		require.NoError(t, err, "a username is unique in its company only")
	}
	users, err := b.ListStaff(b.ctx, "Acme")
	require.NoError(t, err)
	require.Len(t, users, 1)
	require.Equal(t, b.co.ID, users[0].CompanyID)
	_, err = b.ListStaff(b.ctx, "")
	require.EqualError(t, err, "--company NAME_OR_ID is required")
}

func TestWebhooks_are_listed_by_company_and_state(t *testing.T) {
	t.Parallel()
	b := setup(t)
	require.NoError(t, db.CreateCompany(b.ctx, b.DB, &db.Company{Name: "Other"}))
	own := b.hook()
	_, err := b.CreateWebhook(b.ctx, admin.WebhookRequest{
		Company: "Other", Profile: "standard", URL: "https://b.example", Events: []string{"job.created"},
	})
	require.NoError(t, err)
	b.exec("UPDATE webhooks SET is_active = false, profile = 'retired' WHERE id = ?", own.ID)

	list, err := b.ListWebhooks(b.ctx, "Acme")

	require.NoError(t, err)
	require.Len(t, list, 1)
	require.Equal(t, "inactive", list[0].State)
	require.Empty(t, list[0].SigningSecret)
	require.Equal(t, []string{"interview.started"}, list[0].Events, "the types, as no profile names them")
	all, err := b.ListWebhooks(b.ctx, "")
	require.NoError(t, err)
	require.Len(t, all, 2)
	_, err = b.ListWebhooks(b.ctx, "Nobody")
	require.EqualError(t, err, `there is no company named "Nobody"`)
}

func TestDeliveries_behind_an_open_circuit_name_its_workflow(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := b.hook()
	id := b.publish()[0].ID
	b.exec("UPDATE webhooks SET circuit_opened_at = now(), is_active = false WHERE id = ?", w.ID)
	b.exec("UPDATE deliveries SET status = 'paused' WHERE id = ?", id)

	list, err := b.ListDeliveries(b.ctx, admin.DeliveryQuery{Status: "paused", Limit: 1})
	require.NoError(t, err)
	require.Equal(t, "circuit:"+w.ID.String(), *list[0].WorkflowID)
	d, err := b.GetDelivery(b.ctx, id)
	require.NoError(t, err)
	require.Equal(t, "circuit:"+w.ID.String(), *d.WorkflowID)
	require.Empty(t, d.Body, "nothing was sent")
	require.Empty(t, d.Attempts)
}

func TestGetDelivery_without_one(t *testing.T) {
	t.Parallel()
	b := setup(t)
	unknown := uuid.New()
	_, err := b.GetDelivery(b.ctx, unknown)
	require.EqualError(t, err, "there is no delivery "+unknown.String())
}

func TestCancelDelivery_refuses_every_ended_state(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.hook()
	id := b.publish()[0].ID
	for _, status := range []delivery.Status{delivery.Succeeded, delivery.Failed} {
		b.exec("UPDATE deliveries SET status = ? WHERE id = ?", status, id)
		_, err := b.CancelDelivery(b.ctx, id)
		require.EqualError(t, err,
			"delivery "+id.String()+" is "+string(status)+": a delivery that has ended cannot be canceled")
	}
}

func TestReplay_period(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := b.hook()
	since := time.Now().Add(-48 * time.Hour).UTC().Truncate(time.Millisecond)
	until := since.Add(time.Hour)
	replay := func(r admin.ReplayRequest) admin.Replay {
		r.Webhook, r.Since = w.ID, since
		made, err := b.Replay(b.ctx, r)
		require.NoError(t, err)
		return made
	}
	t.Run("ends_at_until", func(t *testing.T) {
		r := replay(admin.ReplayRequest{Until: until, Statuses: []string{"succeeded", "canceled"}})
		require.True(t, until.Equal(r.Until))
		require.True(t, since.Equal(r.Since))
		require.Equal(t, []string{"canceled", "succeeded"}, r.Status)
		require.Empty(t, r.Events, "all of them")
	})
	t.Run("never_ends_in_the_future", func(t *testing.T) {
		r := replay(admin.ReplayRequest{Until: time.Now().Add(time.Hour)})
		require.WithinDuration(t, time.Now(), r.Until, time.Minute)
	})
	t.Run("must_not_be_empty", func(t *testing.T) {
		_, err := b.Replay(b.ctx, admin.ReplayRequest{Webhook: w.ID, Since: since, Until: since})
		require.EqualError(t, err, "--since must be before --until, and in the past")
	})
	t.Run("of_a_profile_that_this_version_does_not_have", func(t *testing.T) {
		b.exec("UPDATE webhooks SET profile = 'retired' WHERE id = ?", w.ID)
		_, err := b.Replay(b.ctx, admin.ReplayRequest{Webhook: w.ID, Since: since, Events: []string{"5"}})
		require.ErrorContains(t, err, "retired")
		require.Equal(t, w.ID, replay(admin.ReplayRequest{}).WebhookID, "without --event it needs no profile")
	})
}
