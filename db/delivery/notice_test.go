package delivery_test

import (
	"context"
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
	"golang.org/x/sync/errgroup"

	"greenroom/db/catalog"
	"greenroom/db/delivery"
	"greenroom/db/pg"
)

const opsEmail = "ops@acme.test"

// notified is a bundle whose company has an address for mail.
func notified(t *testing.T) *bundle {
	t.Helper()
	b := setup(t)
	b.exec("UPDATE companies SET notify_email = ? WHERE id = ?", opsEmail, b.company)
	return b
}

// flap opens the circuit of the webhook and closes it again.
func (b *bundle) flap() {
	b.t.Helper()
	b.fails(10, delivery.OutcomeRetry)
	b.tx(func(tx bun.Tx) error { _, err := delivery.ResetCircuit(b.ctx, tx, b.hook.ID); return err })
}

// write writes the letters that are due, as if the notices had settled.
func (b *bundle) write(window time.Duration) (written int) {
	b.t.Helper()
	b.exec("UPDATE notices SET created_at = created_at - interval '1 minute'")
	written, err := delivery.WriteNoticeLetters(b.ctx, b.DB, window)
	require.NoError(b.t, err)
	return written
}

// inLetters are the changes in all letters to an address, and the number of exhausted deliveries.
func (b *bundle) inLetters(email string) (types []string, exhausted int) {
	b.t.Helper()
	var contents []string
	require.NoError(b.t, b.NewRaw("SELECT content FROM notice_letters WHERE email = ? ORDER BY id", email).
		Scan(b.ctx, &contents))
	for _, raw := range contents {
		var content []delivery.NoticedWebhook
		require.NoError(b.t, json.Unmarshal([]byte(raw), &content))
		for _, w := range content {
			for _, c := range w.Changes {
				types = append(types, c.Type)
			}
			exhausted += w.Exhausted
		}
	}
	return types, exhausted
}

// TestNoticeLetters: each change of a flapping circuit is in exactly one letter, and changes in a window are in one.
func TestNoticeLetters(t *testing.T) {
	t.Parallel()
	b := notified(t)
	require.Zero(t, b.write(time.Minute))
	b.flap()
	once := []string{catalog.WebhookFailing, catalog.WebhookCircuitOpened, catalog.WebhookCircuitClosed}
	written, err := delivery.WriteNoticeLetters(b.ctx, b.DB, time.Minute)
	require.NoError(t, err)
	require.Zero(t, written, "changes that follow at once are waited for")
	require.Equal(t, 1, b.write(time.Minute), "the first is written soon")
	types, _ := b.inLetters(opsEmail)
	require.Equal(t, once, types)

	b.flap()
	b.flap()
	require.Zero(t, b.write(time.Minute), "within the window")
	b.exec("UPDATE notice_letters SET created_at = created_at - interval '2 minutes'")
	require.Equal(t, 1, b.write(time.Minute))
	require.Zero(t, b.write(time.Minute))
	types, _ = b.inLetters(opsEmail)
	require.Equal(t, slices.Repeat(once, 3), types)
	require.Equal(t, types, b.told(), "they are the events")
}

// TestNoticeLettersOfManyWorkers: several processes that believe to lead write each change once.
func TestNoticeLettersOfManyWorkers(t *testing.T) {
	t.Parallel()
	b := notified(t)
	for range 3 {
		b.flap()
	}
	b.exec("UPDATE notices SET created_at = created_at - interval '1 minute'")
	var workers errgroup.Group
	for range 8 {
		workers.Go(func() error { _, err := delivery.WriteNoticeLetters(b.ctx, b.DB, time.Minute); return err })
	}
	require.NoError(t, workers.Wait())
	types, _ := b.inLetters(opsEmail)
	require.ElementsMatch(t, b.told(), types)
	require.Len(t, types, 9)
}

func TestNoticesOfExhaustedDeliveriesAreCounted(t *testing.T) {
	t.Parallel()
	b := notified(t)
	for range 3 {
		b.publish(catalog.InterviewStarted)
		b.attempt(b.queuedFor(b.hook.ID), delivery.OutcomeFailed)
	}
	require.Equal(t, 1, b.write(time.Minute))
	types, exhausted := b.inLetters(opsEmail)
	require.Empty(t, types)
	require.Equal(t, 3, exhausted)
}

func TestNoticeAddresses(t *testing.T) {
	t.Parallel()
	t.Run("none", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.flap()
		require.Zero(t, b.number("SELECT count(*) FROM notices"))
	})
	t.Run("of_the_webhook_instead_of_the_company", func(t *testing.T) {
		t.Parallel()
		b := notified(t)
		b.exec("UPDATE webhooks SET notify_email = 'team@acme.test' WHERE id = ?", b.hook.ID)
		b.flap()
		require.Equal(t, 1, b.write(time.Minute))
		types, _ := b.inLetters("team@acme.test")
		require.Len(t, types, 3)
		types, _ = b.inLetters(opsEmail)
		require.Empty(t, types)
	})
	t.Run("of_the_owner_of_a_global_webhook", func(t *testing.T) {
		t.Parallel()
		b := notified(t)
		b.exec("UPDATE webhooks SET company_id = NULL WHERE id = ?", b.hook.ID)
		b.flap()
		require.Equal(t, 1, b.write(time.Minute))
		types, _ := b.inLetters(opsEmail)
		require.Len(t, types, 3)
	})
	t.Run("unset_before_the_letter", func(t *testing.T) {
		t.Parallel()
		b := notified(t)
		b.flap()
		b.exec("UPDATE companies SET notify_email = NULL")
		require.Zero(t, b.write(time.Minute))
		require.Zero(t, b.number("SELECT count(*) FROM notices"))
	})
	t.Run("unset_after_the_letter", func(t *testing.T) {
		t.Parallel()
		b := notified(t)
		b.flap()
		require.Equal(t, 1, b.write(time.Minute))
		require.True(t, b.wanted())
		b.exec("UPDATE companies SET notify_email = 'other@acme.test'")
		require.False(t, b.wanted())
		b.exec("UPDATE webhooks SET notify_email = ? WHERE id = ?", opsEmail, b.hook.ID)
		require.True(t, b.wanted(), "it is the webhook's")
		b.tx(func(tx bun.Tx) error { return delivery.DeleteWebhook(b.ctx, tx, b.hook.ID) })
		require.False(t, b.wanted())
	})
	t.Run("of_two_companies", func(t *testing.T) {
		t.Parallel()
		b := notified(t)
		other := bundleOn(t, b.DB)
		b.exec("UPDATE companies SET notify_email = ?", opsEmail)
		b.flap()
		other.flap()
		require.Equal(t, 2, b.write(time.Minute), "a letter has the webhooks of one company")
	})
}

// wanted reports whether the letter that is due is to be sent.
func (b *bundle) wanted() (wanted bool) {
	b.t.Helper()
	b.tx(func(tx bun.Tx) error {
		_, is, found, err := delivery.TakeNoticeLetter(b.ctx, tx)
		require.True(b.t, found)
		wanted = is
		return err
	})
	return wanted
}

// TestNoticeLetterIsLocked: a letter that one process sends is not sent by another, and a killed one leaves it.
func TestNoticeLetterIsLocked(t *testing.T) {
	t.Parallel()
	b := notified(t)
	b.flap()
	require.Equal(t, 1, b.write(time.Minute))
	sending, err := b.BeginTx(b.ctx, nil)
	require.NoError(t, err)
	l, _, found, err := delivery.TakeNoticeLetter(b.ctx, sending)
	require.NoError(t, err)
	require.True(t, found)
	b.tx(func(tx bun.Tx) error {
		_, _, found, err := delivery.TakeNoticeLetter(b.ctx, tx)
		require.False(t, found)
		return err
	})
	require.NoError(t, sending.Rollback(), "as when the process is killed")
	b.tx(func(tx bun.Tx) error {
		again, _, found, err := delivery.TakeNoticeLetter(b.ctx, tx)
		require.True(t, found)
		require.Equal(t, l.Content, again.Content)
		if err != nil {
			return err
		}
		return delivery.NoticeLetterEnded(b.ctx, tx, again.ID, "")
	})
	b.tx(func(tx bun.Tx) error {
		_, _, found, err := delivery.TakeNoticeLetter(b.ctx, tx)
		require.False(t, found)
		return err
	})
}

func TestNoticeLetterIsGivenUp(t *testing.T) {
	t.Parallel()
	b := notified(t)
	b.flap()
	require.Equal(t, 1, b.write(time.Minute))
	fail := func() (ended bool) {
		b.exec("UPDATE notice_letters SET next_at = now()")
		b.tx(func(tx bun.Tx) error {
			l, _, found, err := delivery.TakeNoticeLetter(b.ctx, tx)
			require.NoError(t, err)
			require.True(t, found)
			ended, err = delivery.NoticeLetterFailed(b.ctx, tx, l, "later: code 451")
			return err
		})
		return ended
	}
	require.False(t, fail())
	require.Equal(
		t,
		1,
		b.number("SELECT count(*) FROM notice_letters WHERE next_at > now() + interval '20 s' AND attempts = 1"),
	)
	b.exec("UPDATE notice_letters SET created_at = now() - interval '80 h'")
	require.True(t, fail())
	require.Equal(t, 1, b.number("SELECT count(*) FROM notice_letters WHERE next_at IS NULL AND sent_at IS NULL"))
}

func TestDropNotices(t *testing.T) {
	t.Parallel()
	b := notified(t)
	b.flap()
	require.Equal(t, 1, b.write(time.Minute))
	b.flap()
	require.NoError(t, delivery.DropNotices(b.ctx, b, time.Now().AddDate(0, 0, -30)))
	require.Equal(t, 3, b.number("SELECT count(*) FROM notices"))
	require.Equal(t, 1, b.number("SELECT count(*) FROM notice_letters"))
	b.exec("UPDATE notices SET created_at = created_at - interval '80 h'")
	require.NoError(t, delivery.DropNotices(b.ctx, b, time.Now().Add(time.Minute)))
	require.Zero(t, b.number("SELECT count(*) FROM notices"))
	require.Zero(t, b.number("SELECT count(*) FROM notice_letters"))
}

// TestNoticeIsOfTheTransaction: a change that is rolled back has no notice.
func TestNoticeIsOfTheTransaction(t *testing.T) {
	t.Parallel()
	b := notified(t)
	b.fails(10, delivery.OutcomeRetry)
	before := b.number("SELECT count(*) FROM notices")
	err := pg.InTx(b.ctx, b, func(_ context.Context, tx bun.Tx) error {
		_, err := delivery.ResetCircuit(b.ctx, tx, b.hook.ID)
		require.NoError(t, err)
		return pg.ErrConflict
	})
	require.ErrorIs(t, err, pg.ErrConflict)
	require.Equal(t, before, b.number("SELECT count(*) FROM notices"))
}
