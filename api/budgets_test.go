package api_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"greenroom/api"
	"greenroom/db"
)

// answeredCalls counts how many of n calls with each key are answered.
func (b *bundle) answeredCalls(n int, keys ...string) (answered int) {
	b.t.Helper()
	for range n {
		for _, key := range keys {
			if b.as(key, "GET", "/jobs", nil).Status == http.StatusOK {
				answered++
			}
		}
	}
	return answered
}

// limited gives a key limits of requests.
func (b *bundle) limited(row *db.APIKey, perMinute, perHour int) {
	b.t.Helper()
	_, err := b.ExecContext(b.ctx, "UPDATE api_keys SET rate_per_minute = ?, rate_per_hour = ? WHERE id = ?", perMinute,
		perHour, row.ID)
	require.NoError(b.t, err)
}

func TestRateLimits_keys_do_not_multiply_them(t *testing.T) {
	t.Parallel()
	b := setup(t)
	key, row := b.newKey(&b.company)
	b.limited(row, 6, 1000)
	child := b.madeKey(key, object{"scopes": []string{"*"}})
	grandchild := b.madeKey(child.plain, object{"scopes": []string{"*"}})
	require.Equal(t, 4, b.answeredCalls(4, key, child.plain, grandchild.plain), "two of six made the keys")
	r := b.as(grandchild.plain, "GET", "/jobs", nil)
	require.Equal(t, http.StatusTooManyRequests, r.Status)
	require.Equal(t, "6", r.Header.Get("X-RateLimit-Limit-Minute"))
	require.Equal(t, "0", r.Header.Get("X-RateLimit-Remaining-Minute"))
	require.NotEmpty(t, r.Header.Get("Retry-After"))
	require.Equal(t, 1, b.answeredCalls(1, b.key), "other keys have their own limits")
}

func TestRateLimits_of_a_company(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *api.Options) { o.CompanyPerMinute, o.CompanyPerHour = 6, 1000 })
	var keys []string
	for range 3 {
		key, row := b.newKey(&b.company)
		b.limited(row, 4, 100)
		keys = append(keys, key)
	}
	require.Equal(t, 6, b.answeredCalls(4, keys...))
	require.Equal(t, 1, b.answeredCalls(1, b.key), "a key with a higher limit has this limit instead")
	require.Equal(t, 1, b.answeredCalls(1, b.otherKey), "another company is not affected")

	greedy, row := b.newKey(&b.other)
	b.limited(row, 2, 100)
	modest, row := b.newKey(&b.other)
	b.limited(row, 4, 100)
	require.Equal(t, 2, b.answeredCalls(20, greedy))
	require.Equal(t, 4, b.answeredCalls(4, modest), "requests above a key's limit do not use up the company's")
}
