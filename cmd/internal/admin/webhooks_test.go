package admin_test

import (
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"greenroom/activities/webhook"
	"greenroom/api"
	"greenroom/cmd/internal/admin"
	"greenroom/db/delivery"
)

func TestCreateWebhook(t *testing.T) {
	t.Parallel()
	b := setup(t)
	t.Run("the_row_holds_the_shown_secret_sealed", func(t *testing.T) {
		w := b.hook()
		row, err := delivery.GetWebhook(b.ctx, b.DB, w.ID)
		require.NoError(t, err)
		secret, err := b.Box.Open(row.Secret, w.ID, delivery.SecretField)
		require.NoError(t, err)
		require.Equal(t, hex.EncodeToString(secret), w.SigningSecret)
		require.Equal(t, webhook.SecretWhsec(secret), w.SigningSecretWhsec)
		require.Equal(t, []int{3, 30_000}, []int{row.MaxRetries, row.TimeoutMS}, "the profile's own")
		require.Equal(t, b.co.ID, *row.OwnerCompanyID, "so that the company's keys see it")
	})
	t.Run("events_in_every_spelling_once", func(t *testing.T) {
		w, err := b.CreateWebhook(b.ctx, admin.WebhookRequest{
			Company: b.co.ID.String(),
			Profile: "instaview",
			URL:     "https://a.example",
			Events:  []string{"5", "interview.started", "PING"},
		})
		require.NoError(t, err)
		require.Equal(t, []string{"interview.started", "ping"}, w.Events)
	})
	t.Run("the_key_that_its_deliveries_carry", func(t *testing.T) {
		w, err := b.CreateWebhook(b.ctx, admin.WebhookRequest{
			Company: "Acme", Profile: "wise", URL: "https://a.example", Events: []string{"SessionsUpdatedEvent"},
		})
		require.NoError(t, err)
		secret, err := webhook.ParseSecret(w.SigningSecret)
		require.NoError(t, err)
		require.Equal(t, webhook.KeyOf(secret, true), w.AuthorizationKey)
		require.Empty(t, b.hook().AuthorizationKey)
	})
	t.Run("a_name_that_stands_for_several_types", func(t *testing.T) {
		w, err := b.CreateWebhook(b.ctx, admin.WebhookRequest{
			Company: "Acme", Profile: "interview-suite", URL: "https://a.example", Events: []string{"project_changed"},
		})
		require.NoError(t, err)
		require.Equal(t, []string{"project_changed"}, w.Events)
		row, err := delivery.GetWebhook(b.ctx, b.DB, w.ID)
		require.NoError(t, err)
		require.Equal(t, []string{"job.created", "job.updated"}, row.Events)
	})
	t.Run("one_for_every_company", func(t *testing.T) {
		w, err := b.CreateWebhook(b.ctx, admin.WebhookRequest{
			Platform: true, Profile: "standard", URL: "https://b.example", Events: []string{"job.created"},
		})
		require.NoError(t, err)
		require.Nil(t, w.CompanyID)
	})
	t.Run("refuses", func(t *testing.T) {
		long := strings.Repeat("n", 256)
		good := admin.WebhookRequest{Company: "Acme", Profile: "instaview", URL: "https://a.example", Events: []string{"5"}}
		for want, spoil := range map[string]func(*admin.WebhookRequest){
			`--profile must be one of insta`:                 func(r *admin.WebhookRequest) { r.Profile = "x" },
			"--endpoint must use https":                      func(r *admin.WebhookRequest) { r.URL = "http://a.example" },
			"--endpoint must not point to a private, local":  func(r *admin.WebhookRequest) { r.URL = "https://127.0.0.1" },
			`profile instaview has no event "6"; it has:`:    func(r *admin.WebhookRequest) { r.Events = []string{"6"} },
			"--name must be at most 255 characters":          func(r *admin.WebhookRequest) { r.Name = long },
			"--event is required":                            func(r *admin.WebhookRequest) { r.Events = nil },
			"--company NAME_OR_ID is required":               func(r *admin.WebhookRequest) { r.Company = "" },
			"--platform creates a webhook for every company": func(r *admin.WebhookRequest) { r.Platform = true },
			`there is no company named "Nobody"`:             func(r *admin.WebhookRequest) { r.Company = "Nobody" },
		} {
			r := good
			spoil(&r)
			_, err := b.CreateWebhook(b.ctx, r)
			require.ErrorContains(t, err, want)
		}
	})
}

func TestResetCircuit(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := b.hook()
	openCircuit := "UPDATE webhooks SET consecutive_failures = 10, circuit_opened_at = ?, is_active = false WHERE id = ?"
	_, err := b.DB.ExecContext(b.ctx, openCircuit, time.Now(), w.ID)
	require.NoError(t, err)
	list, err := b.ListWebhooks(b.ctx, "Acme")
	require.NoError(t, err)
	require.Equal(t, "circuit open", list[0].State)

	w, err = b.ResetCircuit(b.ctx, w.ID)

	require.NoError(t, err)
	require.Equal(t, "active", w.State)
	require.Zero(t, w.ConsecutiveFailures)
	require.Nil(t, w.CircuitOpenedAt)
	require.Equal(t, []string{"circuit.changed"}, b.commands(w.ID), "the command for the Circuit workflow")
	unknown := uuid.New()
	_, err = b.ResetCircuit(b.ctx, unknown)
	require.EqualError(t, err, "there is no webhook "+unknown.String())
}

func TestListWebhooks_shows_the_owner_of_a_global_webhook(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := b.hook()
	// A company's key creates such a webhook.
	_, err := b.DB.ExecContext(b.ctx, "UPDATE webhooks SET company_id = NULL WHERE id = ?", w.ID)
	require.NoError(t, err)
	list, err := b.ListWebhooks(b.ctx, "")
	require.NoError(t, err)
	text := printed(t, false, func(p admin.Printer) error { return p.Webhooks(list) })
	require.Contains(t, text, b.co.ID.String())
	require.NotContains(t, text, "every company")
}

func TestDeleteWebhook(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := b.hook()
	d := b.publish()[0]
	gone, err := b.DeleteWebhook(b.ctx, w.ID)
	require.NoError(t, err)
	require.Equal(t, "deleted", gone.State)
	detail, err := b.GetDelivery(b.ctx, d.ID)
	require.NoError(t, err)
	require.Equal(t, delivery.Canceled, detail.Status)
	list, err := b.ListWebhooks(b.ctx, "")
	require.NoError(t, err)
	require.Empty(t, list)
	_, err = b.DeleteWebhook(b.ctx, w.ID)
	require.EqualError(t, err, "there is no webhook "+w.ID.String())
	_, err = b.RetryDelivery(b.ctx, d.ID)
	require.ErrorContains(t, err, "its webhook was deleted")
}

func TestRotateSecret(t *testing.T) {
	t.Parallel()
	b := setup(t)
	hook := b.hook()
	fingerprints := func(list []api.WebhookSecret, err error) (out []string) {
		t.Helper()
		require.NoError(t, err)
		for _, s := range list {
			out = append(out, s.Fingerprint)
		}
		return out
	}
	before := fingerprints(b.Secrets(b.ctx, hook.ID))
	require.Len(t, before, 1)
	brought := webhook.GenerateSecret()
	got, err := b.RotateSecret(b.ctx, hook.ID, webhook.SecretWhsec(brought), time.Hour)
	require.NoError(t, err)
	require.Equal(t, webhook.SecretHex(brought), got.SigningSecret)
	require.Equal(t, []string{webhook.Fingerprint(brought), before[0]}, fingerprints(got.Secrets, nil))
	_, err = b.RotateSecret(b.ctx, hook.ID, webhook.SecretWhsec(brought), time.Hour)
	require.EqualError(t, err, "the signing secret is in use already")
	_, err = b.RotateSecret(b.ctx, hook.ID, "5", time.Hour)
	require.ErrorIs(t, err, webhook.ErrSecretForm)
	_, err = b.RotateSecret(b.ctx, hook.ID, "", 8*24*time.Hour)
	require.EqualError(t, err, "--overlap must be 0 to 7d")
	_, err = b.RotateSecret(b.ctx, uuid.New(), "", time.Hour)
	require.ErrorContains(t, err, "there is no webhook ")
	require.Len(t, fingerprints(b.RevokeSecret(b.ctx, hook.ID, before[0])), 1)
	_, err = b.RevokeSecret(b.ctx, hook.ID, before[0])
	require.ErrorContains(t, err, "has no earlier secret "+before[0]+" in use")
	for range delivery.SecretsMost - 1 {
		_, err = b.RotateSecret(b.ctx, hook.ID, "", time.Hour)
		require.NoError(t, err)
	}
	_, err = b.RotateSecret(b.ctx, hook.ID, "", time.Hour)
	require.EqualError(t, err, "5 signing secrets are in use: revoke one, or wait until one expires")
}
