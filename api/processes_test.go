package api_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"greenroom/api"
)

// TestProcessesShareTheLimitsOfAKey has several API processes on one database.
func TestProcessesShareTheLimitsOfAKey(t *testing.T) {
	t.Parallel()
	var o api.Options
	b := setup(t, func(of *api.Options) { o = *of })
	handlers := []http.Handler{b.Handler}
	for range 2 {
		h, err := api.New(o)
		require.NoError(t, err)
		handlers = append(handlers, h)
	}
	send := func(process int, key string) *http.Response { return ask(t, handlers[process], key) }
	limited := func(perMinute int) (key string, change func(perMinute int)) {
		key, row := b.newKey(&b.company, "read:webhooks")
		change = func(n int) {
			_, err := b.ExecContext(b.ctx, "UPDATE api_keys SET rate_per_minute = ? WHERE id = ?", n, row.ID)
			require.NoError(t, err)
		}
		change(perMinute)
		return key, change
	}
	t.Run("in_turn", func(t *testing.T) {
		key, change := limited(10)
		for i := range 20 {
			r := send(i%3, key)
			require.Equal(t, i < 10, r.StatusCode == http.StatusOK, "request %d", i)
			require.Equal(t, "10", r.Header.Get("X-RateLimit-Limit-Minute"))
		}
		change(12)
		accepted := 0
		for i := range 9 {
			if send(i%3, key).StatusCode == http.StatusOK {
				accepted++
			}
		}
		require.Equal(t, 2, accepted, "a higher limit acts at once")
	})
	t.Run("all_at_one", func(t *testing.T) {
		key, _ := limited(10)
		for i := range 12 {
			require.Equal(t, i < 10, send(0, key).StatusCode == http.StatusOK, "request %d", i)
		}
		r := send(1, key)
		require.Equal(t, http.StatusTooManyRequests, r.StatusCode)
		require.Equal(t, "0", r.Header.Get("X-RateLimit-Remaining-Minute"))
	})
	t.Run("claims_of_more_than_one", func(t *testing.T) {
		key, _ := limited(500) // five at once
		accepted := 0
		for i := range 520 {
			if send(i%2, key).StatusCode == http.StatusOK {
				accepted++
			}
		}
		require.Equal(t, 500, accepted)
	})
}

// ask lists webhooks.
func ask(t *testing.T, h http.Handler, key string) *http.Response {
	t.Helper()
	req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/webhooks", nil)
	req.Header.Set("Authorization", "Bearer "+key)
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, req)
	return rec.Result()
}
