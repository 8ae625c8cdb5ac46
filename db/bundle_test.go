package db_test

import (
	"context"
	"errors"
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

// errRollback ends a transaction that must change nothing.
var errRollback = errors.New("roll back")

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

// try runs fn in a transaction and returns its error.
func (b *bundle) try(fn func(tx bun.Tx) error) error {
	return pg.InTx(b.ctx, b, func(_ context.Context, tx bun.Tx) error { return fn(tx) })
}

func (b *bundle) exec(query string, args ...any) {
	b.t.Helper()
	_, err := b.ExecContext(b.ctx, query, args...)
	require.NoError(b.t, err)
}

// count returns the number that the query selects.
func (b *bundle) count(query string, args ...any) (n int) {
	b.t.Helper()
	require.NoError(b.t, b.NewRaw(query, args...).Scan(b.ctx, &n))
	return n
}

// refuseEvents makes each later insert of an event fail.
func (b *bundle) refuseEvents() {
	b.t.Helper()
	b.exec("ALTER TABLE events ADD CONSTRAINT refused CHECK (false) NOT VALID")
}

// whileLocked runs first in a transaction and calls second in another goroutine. The transaction commits, or rolls back
// for a false commit, when second waits for one of its locks. The result is second's error.
func (b *bundle) whileLocked(commit bool, first func(tx bun.Tx) error, second func() error) error {
	b.t.Helper()
	tx, err := b.BeginTx(b.ctx, nil)
	require.NoError(b.t, err)
	defer func() { _ = tx.Rollback() }()
	require.NoError(b.t, first(tx))
	result := make(chan error, 1)
	go func() { result <- second() }()
	require.Eventually(b.t, func() bool {
		return b.count(`SELECT count(*) FROM pg_stat_activity
			WHERE datname = current_database() AND wait_event_type = 'Lock'`) > 0
	}, 20*time.Second, 5*time.Millisecond, "the second transaction does not wait for the first")
	if commit {
		require.NoError(b.t, tx.Commit())
	} else {
		require.NoError(b.t, tx.Rollback())
	}
	return <-result
}
