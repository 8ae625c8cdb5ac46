package admin_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"greenroom/cmd/internal/admin"
	"greenroom/db/delivery"
)

func TestReplay(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := b.hook()
	hourAgo := time.Now().Add(-time.Hour)
	t.Run("sends_what_failed_again", func(t *testing.T) {
		b.publish()
		_, err := b.DB.ExecContext(b.ctx, "UPDATE deliveries SET status = 'failed'; DELETE FROM delivery_queue")
		require.NoError(t, err)
		r, err := b.Replay(b.ctx, admin.ReplayRequest{Webhook: w.ID, Since: hourAgo, Events: []string{"5"}})
		require.NoError(t, err)
		require.Equal(t, []string{"failed"}, r.Status)
		require.Equal(t, []string{"interview.started"}, r.Events)
		require.Equal(t, []string{"replay.changed"}, b.commands(r.ID), "the command for the workflow")
		page, err := delivery.ReplayPage(b.ctx, b.DB, r.ID, 100)
		require.NoError(t, err)
		require.Equal(t, 1, page.Requeued)
		shown, err := b.GetReplay(b.ctx, r.ID)
		require.NoError(t, err)
		require.Equal(t, int64(1), shown.Replayed)
		text := printed(t, false, func(p admin.Printer) error { return p.Replay(shown) })
		require.Regexp(t, `replayed +1\n`, text)
		_, err = b.GetReplay(b.ctx, w.ID)
		require.EqualError(t, err, "there is no replay "+w.ID.String())
	})
	t.Run("refuses", func(t *testing.T) {
		unknown := uuid.New()
		for want, r := range map[string]admin.ReplayRequest{
			"--since is required":                                 {Webhook: w.ID},
			"--since must be before --until, and in the past":     {Webhook: w.ID, Since: time.Now().Add(time.Minute)},
			"--status must be one of succeeded, failed, canceled": {Webhook: w.ID, Since: hourAgo, Statuses: []string{"paused"}},
			`profile instaview has no event "nope"`:               {Webhook: w.ID, Since: hourAgo, Events: []string{"nope"}},
			"there is no webhook " + unknown.String():             {Webhook: unknown, Since: hourAgo},
		} {
			_, err := b.Replay(b.ctx, r)
			require.ErrorContains(t, err, want)
		}
	})
}
