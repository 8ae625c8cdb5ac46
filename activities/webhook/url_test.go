package webhook_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"greenroom/activities/webhook"
)

func TestCheckURL(t *testing.T) {
	t.Parallel()
	strict := webhook.NewClient(webhook.ClientOptions{})
	for _, raw := range []string{
		"https://api.example.com/webhooks/instaview", "https://example.com", "https://example.com:8443/x?y=z&w", "HTTPS://Example.COM/",
		"https://8.8.8.8/x", "https://[2606:4700:4700::1111]/x", "https://bücher.example/ä", "https://example.com./x", "https://a_b.example.com/",
		"https://example.com/" + strings.Repeat("a", 2048-20),
	} {
		require.NoError(t, strict.CheckURL(raw), raw)
	}

	const (
		invalid = "url must be a valid URL"
		https   = "url must use https"
		blocked = "url must not point to a private, local or reserved address"
	)
	for raw, want := range map[string]string{
		"": invalid, "nope": invalid, "/relative": invalid, "//example.com/x": invalid, "example.com": invalid, "https:": invalid,
		"https://": invalid, "https:///x": invalid, "https://:443/": invalid, "https://exa mple.com/": invalid, "https://a..b/": invalid,
		"https://.": invalid, "https://-a.com": invalid, "https://a-.com": invalid, "https://a.com:": invalid, "https://a.com:0/": invalid,
		"https://a.com:65536/": invalid, "https://a.com:x/": invalid, "https://a.com/\n": invalid, "https://a*b.com/": invalid,
		"https://%zz/": invalid, "mailto:someone@example.com": invalid, "https://" + strings.Repeat("a", 64) + ".com/": invalid,
		"https://127.1/": invalid, "https://2130706433/": invalid, "https://0x7f000001/": invalid, "https://1.2.3.4.5/": invalid,
		"http://example.com/": https, "ftp://example.com/": https, "file://example.com/x": https,
		"https://user:pass@example.com/":                      "url must not contain a user name or password; use a custom header",
		"https://user@example.com/":                           "url must not contain a user name or password; use a custom header",
		"https://example.com/#top":                            "url must not have a fragment",
		"https://example.com/#":                               "url must not have a fragment",
		"https://example.com/" + strings.Repeat("a", 2048-19): "url must be at most 2048 characters",
		"https://127.0.0.1/":                                  blocked, "https://10.1.2.3/": blocked, "https://192.168.0.1/": blocked, "https://172.16.0.1/": blocked,
		"https://169.254.169.254/latest": blocked, "https://100.64.0.1/": blocked, "https://0.0.0.0/": blocked, "https://224.0.0.1/": blocked,
		"https://[::1]/": blocked, "https://[::]/": blocked, "https://[fe80::1]/": blocked, "https://[fe80::1%25eth0]/": blocked,
		"https://[fd00::1]/": blocked, "https://[::ffff:127.0.0.1]/": blocked, "https://[64:ff9b::7f00:1]/": blocked,
		"https://168.63.129.16/": blocked, "https://localhost/": blocked, "https://LOCALHOST./": blocked, "https://a.localhost/": blocked,
	} {
		err := strict.CheckURL(raw)
		var urlErr *webhook.URLError
		require.True(t, errors.As(err, &urlErr), "%q: %v", raw, err)
		assert.Equal(t, want, err.Error(), "%q", raw)
	}
}

func TestCheckURLByConfiguration(t *testing.T) {
	t.Parallel()
	dev := webhook.ClientOptions{AllowHTTP: true, AllowLoopback: true}
	private := webhook.ClientOptions{AllowPrivate: true}
	for _, tc := range []struct {
		raw     string
		opts    webhook.ClientOptions
		allowed bool
	}{
		{"http://127.0.0.1:9000/x", dev, true},
		{"http://localhost:9000/x", dev, true},
		{"http://[::1]:9000/x", dev, true},
		{"http://example.com/", dev, true},
		{"http://10.0.0.1/", dev, false},
		{"http://169.254.169.254/", dev, false},
		{"ftp://127.0.0.1/", dev, false},
		{"https://10.0.0.1/", private, true},
		{"https://100.64.0.1/", private, true},
		{"https://[fd00::1]/", private, true},
		{"http://10.0.0.1/", private, false},
		{"https://127.0.0.1/", private, false},
		{"https://localhost/", private, false},
		{"https://169.254.169.254/", private, false},
		{"https://100.100.100.200/", private, false},
		{"https://[fd00:ec2::254]/", private, false},
	} {
		err := webhook.NewClient(tc.opts).CheckURL(tc.raw)
		assert.Equal(t, tc.allowed, err == nil, "%s %+v: %v", tc.raw, tc.opts, err)
	}
}
