package db_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"greenroom/db/catalog"
	"greenroom/db/dbtest"
	"greenroom/db/delivery"
	"greenroom/db/pg"
)

// bundle is a company with one webhook on a database of its own.
type bundle struct {
	*bun.DB
	t       *testing.T
	ctx     context.Context
	company uuid.UUID
	hook    *delivery.Webhook
}

func setup(t *testing.T) *bundle {
	t.Helper()
	b := &bundle{DB: dbtest.New(t), t: t, ctx: t.Context(), company: pg.NewID()}
	_, err := b.ExecContext(b.ctx, "INSERT INTO companies (id, name) VALUES (?, 'Acme')", b.company)
	require.NoError(t, err)
	b.hook = b.webhook(catalog.InterviewStarted, catalog.InterviewCompleted, catalog.Ping)
	return b
}

func (b *bundle) webhook(events ...string) *delivery.Webhook {
	b.t.Helper()
	now := time.Now().UTC()
	w := &delivery.Webhook{
		ID:             pg.NewID(),
		CompanyID:      &b.company,
		OwnerCompanyID: &b.company,
		Profile:        "instaview",
		URL:            "https://receiver.test/hook",
		Events:         events,
		IsActive:       true,
		MaxRetries:     3,
		TimeoutMS:      30000,
		Secret:         []byte("sealed"),
		Headers:        []delivery.WebhookHeader{},
		CreatedAt:      now,
		UpdatedAt:      now,
	}
	require.NoError(b.t, delivery.CreateWebhook(b.ctx, b, w))
	return w
}

// tx runs fn in a transaction that must succeed.
func (b *bundle) tx(fn func(tx bun.Tx) error) {
	b.t.Helper()
	require.NoError(b.t, pg.InTx(b.ctx, b, func(_ context.Context, tx bun.Tx) error { return fn(tx) }))
}

func (b *bundle) exec(query string, args ...any) {
	b.t.Helper()
	_, err := b.ExecContext(b.ctx, query, args...)
	require.NoError(b.t, err)
}
