package admin_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
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

// A replay runs in the workers, so an API that restarts or limits a key does not end its display.
func TestFollowReplay_outlasts_the_API(t *testing.T) {
	t.Parallel()
	id := uuid.Must(uuid.NewV7())
	state := func(state string, replayed int) string {
		return fmt.Sprintf(`{"success":true,"data":{"id":%q,"state":%q,"replayed":%d}}`, id, state, replayed)
	}
	answers := []struct {
		status int
		body   string
	}{
		{429, `{"message":"Too many requests"}`},
		{200, state("running", 1)},
		{502, "<html>"},
		{503, `{"success":false,"error":{"code":"SERVICE_UNAVAILABLE","message":"Busy"}}`},
		{200, state("completed", 2)},
		{404, `{"success":false,"error":{"code":"RESOURCE_NOT_FOUND","message":"Replay not found"}}`},
	}
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(answers[asked].status)
		_, _ = w.Write([]byte(answers[asked].body))
		asked++
	}))
	t.Cleanup(server.Close)
	a, err := admin.Connect(server.URL, "sk_x")
	require.NoError(t, err)
	var seen []int64
	note := func(r admin.Replay) error {
		seen = append(seen, r.Replayed)
		return nil
	}
	require.NoError(t, a.FollowReplay(t.Context(), id, note))
	require.Equal(t, []int64{1, 2}, seen)
	require.ErrorContains(t, a.FollowReplay(t.Context(), id, note), "Replay not found", "which does not pass")
	require.Equal(t, len(answers), asked)
}

// A list that is longer than the pages that a key may read in a minute is read over several.
func TestLists_wait_for_a_key_with_no_request_left(t *testing.T) {
	t.Parallel()
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked++
		switch asked {
		case 1, 4:
			_, _ = w.Write([]byte(`{"success":true,"data":{"data":[{"type":"a"}],"nextCursor":"AA"}}`))
		case 2, 6:
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusTooManyRequests)
			_, _ = w.Write([]byte(`{"message":"Too many requests"}`))
		case 3:
			_, _ = w.Write([]byte(`{"success":true,"data":{"data":[{"type":"b"}],"nextCursor":"BB"}}`))
		case 5:
			w.Header().Set("Retry-After", "3000")
			w.WriteHeader(http.StatusTooManyRequests)
			_, _ = w.Write([]byte(`{"message":"Too many requests"}`))
		}
	}))
	t.Cleanup(server.Close)
	a, err := admin.Connect(server.URL, "sk_x")
	require.NoError(t, err)
	list, err := a.ListEvents(t.Context(), admin.EventQuery{Limit: 2})
	require.NoError(t, err)
	require.Len(t, list, 2)
	require.Equal(t, 3, asked)
	_, err = a.ListEvents(t.Context(), admin.EventQuery{Limit: 2})
	require.ErrorContains(t, err, "try again in 3000 s", "a limit of an hour")
	_, err = a.ListEvents(t.Context(), admin.EventQuery{Limit: 2})
	require.ErrorContains(t, err, "429", "the first page: nothing is read yet")
}
