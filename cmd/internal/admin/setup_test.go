package admin_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"greenroom/activities/webhook"
	"greenroom/cmd/internal/admin"
	"greenroom/db"
	"greenroom/db/dbtest"
	"greenroom/db/delivery"
	"greenroom/db/pg"
	"greenroom/db/seal"
)

// bundle is an Admin on its own database, with one company.
type bundle struct {
	*admin.Admin
	t   *testing.T
	ctx context.Context
	co  *db.Company
}

func setup(t *testing.T) *bundle {
	t.Helper()
	keyset, err := seal.NewKeyset()
	require.NoError(t, err)
	box, err := seal.New(keyset)
	require.NoError(t, err)
	b := &bundle{t: t, ctx: t.Context(), co: &db.Company{Name: "Acme"}, Admin: &admin.Admin{
		DB: dbtest.New(t), Secret: []byte(strings.Repeat("s", 32)), Box: box, PerMinute: 60, PerHour: 2000,
		CheckURL: webhook.NewClient(webhook.ClientOptions{}).CheckURL,
	}}
	require.NoError(t, db.CreateCompany(b.ctx, b.DB, b.co))
	return b
}

// hook creates a webhook of the company for interview.started.
func (b *bundle) hook() admin.Webhook {
	b.t.Helper()
	w, err := b.CreateWebhook(b.ctx, admin.WebhookRequest{
		Company: "Acme", Profile: "instaview", URL: "https://a.example/hook", Events: []string{"5"},
	})
	require.NoError(b.t, err)
	return w
}

// publish records interview.started and returns all deliveries, newest first.
func (b *bundle) publish() []admin.Delivery {
	b.t.Helper()
	require.NoError(b.t, pg.InTx(b.ctx, b.DB, func(ctx context.Context, tx bun.Tx) error {
		_, err := delivery.RecordEvent(
			ctx,
			tx,
			&delivery.Event{CompanyID: &b.co.ID, Type: "interview.started", Data: json.RawMessage(`{}`)},
		)
		return err
	}))
	list, err := b.ListDeliveries(b.ctx, admin.DeliveryQuery{Limit: 100})
	require.NoError(b.t, err)
	return list
}

// commands returns the kinds of the commands for a subject in the outbox.
func (b *bundle) commands(subject uuid.UUID) (kinds []string) {
	b.t.Helper()
	require.NoError(
		b.t,
		b.DB.NewRaw("SELECT kind FROM commands WHERE subject_id = ? ORDER BY kind", subject).Scan(b.ctx, &kinds),
	)
	return kinds
}
