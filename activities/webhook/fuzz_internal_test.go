package webhook

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func FuzzRetryAfter(f *testing.F) {
	for _, seed := range []string{"", "0", "120", "-1", "99999999999999999999", "Sun, 06 Nov 2094 08:49:37 GMT", "1.5"} {
		f.Add(seed)
	}
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	f.Fuzz(func(t *testing.T, value string) {
		after := retryAfter(http.Header{"Retry-After": {value}}, now)
		require.GreaterOrEqual(t, after, time.Duration(0))
		wait := NextWait(time.Minute, after, 1)
		require.GreaterOrEqual(t, wait, time.Minute)
		require.LessOrEqual(t, wait, maxRetryAfter)
	})
}

// FuzzCheckURL: an accepted URL is sent as it was written, and the strict client accepts no plain http, no credentials
// and no blocked address.
func FuzzCheckURL(f *testing.F) {
	for _, seed := range []string{
		"https://example.com/a?b=[1]", "https://[::ffff:7f00:1]/", "https://2130706433/", "http://u:p@h/", "https://a.b:0/%2",
		"https://xn--bcher-kva.example/", "https://b\u00fccher.example/", "https://0x7f.1/#f",
	} {
		f.Add(seed)
	}
	client := NewClient(ClientOptions{})
	f.Fuzz(func(t *testing.T, raw string) {
		if client.CheckURL(raw) != nil {
			return
		}
		u, err := url.Parse(raw)
		require.NoError(t, err)
		require.Equal(t, "https", u.Scheme)
		require.Nil(t, u.User)
		require.False(t, client.blockedHost(u.Hostname()))
		_, target := splitURL(raw)
		require.Contains(t, []string{target, "/" + target}, u.RequestURI())
		req, err := http.NewRequest(http.MethodPost, raw, nil)
		require.NoError(t, err)
		require.Equal(t, u.Host, req.Host)
	})
}

func FuzzParseSecret(f *testing.F) {
	for _, seed := range []string{
		"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_", "00112233445566778899aabbccddeeff0011223344556677", "zz",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		secret, err := ParseSecret(text)
		if err != nil {
			require.ErrorIs(t, err, ErrSecretForm)
			require.Nil(t, secret)
			return
		}
		require.GreaterOrEqual(t, len(secret), secretBytesMin)
		require.LessOrEqual(t, len(secret), secretBytesMax)
		for _, form := range []string{SecretHex(secret), SecretWhsec(secret)} {
			again, err := ParseSecret(form)
			require.NoError(t, err)
			require.Equal(t, secret, again)
		}
	})
}
