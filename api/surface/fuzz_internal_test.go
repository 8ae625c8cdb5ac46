package surface

import (
	"net/http/httptest"
	"net/netip"
	"net/url"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/stretchr/testify/require"
)

func FuzzParseTime(f *testing.F) {
	for _, seed := range []string{
		"2024-01-15T10:30:00Z", "2024-01-15t10:30:00.5+02:00", "9999-12-31T23:59:59-23:59", "2024-1-15T1:0:0Z", "",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		at, reason := ParseTime(text)
		if reason != "" {
			return
		}
		require.Equal(t, time.UTC, at.Location())
		require.GreaterOrEqual(t, at.Year(), 1970)
		require.LessOrEqual(t, at.Year(), 9999)
		again, reason := ParseTime(at.Format(time.RFC3339Nano))
		require.Empty(t, reason)
		require.True(t, at.Equal(again))
	})
}

// FuzzPage: an accepted page is within its limits, and its offset does not overflow.
func FuzzPage(f *testing.F) {
	for _, seed := range [][2]string{
		{"1", "20"}, {"0", "-1"}, {"1000000", "100"}, {"9223372036854775808", "1e2"}, {"", "+5"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, page, limit string) {
		c, _ := gin.CreateTestContext(httptest.NewRecorder())
		query := url.Values{"page": {page}, "limit": {limit}}
		c.Request = httptest.NewRequest("GET", "/?"+query.Encode(), nil)
		p, err := PageOf(c)
		if err != nil {
			return
		}
		require.True(t, p.Number >= 1 && p.Number <= MaxPage && p.Limit >= 1 && p.Limit <= MaxLimit)
		require.Equal(t, (p.Number-1)*p.Limit, p.Window().Offset)
		require.GreaterOrEqual(t, p.Window().Offset, int64(0))
		require.LessOrEqual(t, len(Cut(p, make([]int, 150))), int(p.Limit))
	})
}

// FuzzForwardedFor: the caller's address is always an address, and never one that only an untrusted peer named.
func FuzzForwardedFor(f *testing.F) {
	for _, seed := range []string{
		"", "203.0.113.7", "1.2.3.4, 10.0.0.1", "::1%eth0", "unknown, ::ffff:1.2.3.4", ",", "[::1]:80",
	} {
		f.Add(seed)
	}
	gin.SetMode(gin.TestMode)
	address := func(t *testing.T, trusted []string, header string) string {
		t.Helper()
		engine := gin.New()
		engine.RemoteIPHeaders = []string{forwardedFor}
		require.NoError(t, engine.SetTrustedProxies(trusted))
		c := gin.CreateTestContextOnly(httptest.NewRecorder(), engine)
		c.Request = httptest.NewRequest("GET", "/", nil)
		c.Request.RemoteAddr = "10.0.0.1:1234"
		c.Request.Header[forwardedFor] = []string{header}
		return c.ClientIP()
	}
	f.Fuzz(func(t *testing.T, header string) {
		require.Equal(t, "10.0.0.1", address(t, nil, header))
		got := address(t, []string{"10.0.0.0/8"}, header)
		_, err := netip.ParseAddr(got)
		require.NoError(t, err, got)
		network := Network(got)
		require.NotEmpty(t, network)
		if prefix, err := netip.ParsePrefix(network); err == nil {
			require.Equal(t, 64, prefix.Bits())
		}
	})
}

func FuzzIdempotencyKey(f *testing.F) {
	for _, seed := range []string{"", " ", "order-4711", "\x00", "\u00e4", "a\nb"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, key string) {
		r := httptest.NewRequest("POST", "/", nil)
		r.Header[IdempotencyHeader] = []string{key}
		if checkIdempotencyKey(r) != nil {
			return
		}
		require.NotEmpty(t, key)
		require.LessOrEqual(t, len(key), maxIdempotencyKey)
		for _, b := range []byte(key) {
			require.True(t, b >= ' ' && b <= '~')
		}
	})
}
