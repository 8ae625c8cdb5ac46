package api_test

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"greenroom/api"
)

// TestOnlyForwardedForOfTrustedProxiesIsBelieved: httptest's peer is 192.0.2.1.
func TestOnlyForwardedForOfTrustedProxiesIsBelieved(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		trusted, headers []string
		allowed          bool
		warnings         int
	}{
		"trusted":              {[]string{"192.0.2.1"}, []string{"X-Forwarded-For", "203.0.113.7"}, true, 0},
		"trusted_and_appended": {[]string{"192.0.2.0/24"}, []string{"X-Forwarded-For", "203.0.113.7, 192.0.2.9"}, true, 0},
		"appended_by_others":   {[]string{"192.0.2.1"}, []string{"X-Forwarded-For", "203.0.113.7, 198.51.100.1"}, false, 0},
		"untrusted":            {nil, []string{"X-Forwarded-For", "203.0.113.7"}, false, 1},
		"another_proxy":        {[]string{"10.0.0.0/8"}, []string{"X-Forwarded-For", "203.0.113.7"}, false, 1},
		"x_real_ip":            {[]string{"192.0.2.1"}, []string{"X-Real-IP", "203.0.113.7"}, false, 0},
		"forwarded":            {[]string{"192.0.2.1"}, []string{"Forwarded", "for=203.0.113.7"}, false, 0},
		"none":                 {nil, nil, false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var log bytes.Buffer
			b := setup(t, func(o *api.Options) {
				o.TrustedProxies, o.Logger = tt.trusted, slog.New(slog.NewTextHandler(&log, nil))
			})
			k := b.madeKey(b.key, object{"allowedIPs": []string{"203.0.113.7"}})
			for range 2 {
				req := httptest.NewRequestWithContext(b.ctx, http.MethodGet, "/api-keys", http.NoBody)
				req.Header.Set("Authorization", "Bearer "+k.plain)
				for i := 0; i+1 < len(tt.headers); i += 2 {
					req.Header.Set(tt.headers[i], tt.headers[i+1])
				}
				require.Equal(t, tt.allowed, b.Send(req).Status == http.StatusOK)
			}
			require.Equal(t, tt.warnings, strings.Count(log.String(), "http.trusted_proxies"), "it is logged once")
		})
	}
}
