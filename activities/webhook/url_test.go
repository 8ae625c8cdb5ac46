package webhook_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"greenroom/activities/webhook"
)

// longHost is a URL whose host has n characters.
func longHost(n int) string {
	const label = "abcdefghijklmnopqrstuvwxyz-0123456789."
	host := strings.Repeat(label, n/len(label))
	return "https://" + host + strings.Repeat("x", n-len(host)) + "/"
}

func TestCheckURL(t *testing.T) {
	t.Parallel()
	strict := webhook.NewClient(webhook.ClientOptions{})
	for _, raw := range []string{
		"https://api.example.com/webhooks/instaview", "https://example.com", "https://example.com:8443/x?y=z&w",
		"HTTPS://Example.COM/", "https://xn--bcher-kva.example/%C3%A4",
		"https://8.8.8.8/x", "https://[2606:4700:4700::1111]/x", "https://example.com./x", "https://a_b.example.com/",
		"https://example.com/" + strings.Repeat("a", 2048-20), "https://example.com:1/", "https://example.com:65535/",
		"https://AZ.az-09.example/", "https://face.bad/", "https://a.0xyz/", "https://a.123x/",
		"https://" + strings.Repeat("a", 63) + ".com/", longHost(253),
	} {
		require.NoError(t, strict.CheckURL(raw), raw)
	}

	for want, urls := range map[string][]string{
		"url must be a valid URL": {
			"", "nope", "/relative", "//example.com/x", "example.com", "https:", "https://", "https:///x", "https://:443/",
			"https://a..b/", "https://.", "https://-a.com", "https://a-.com", "https://a.com:",
			"https://a.com:0/", "https://a.com:65536/", "https://a.com:x/", "https://a*b.com/", "https://%zz/",
			"mailto:someone@example.com", "https://" + strings.Repeat("a", 64) + ".com/",
			longHost(254), "//example.com/x://y", "mailto:a://b.example/",
			"https://127.1/", "https://2130706433/", "https://0x7f000001/", "https://1.2.3.4.5/",
		},
		"url must not begin or end with white space": {
			" https://a.com/", "https://a.com/ ", "https://a.com/  ", "https://a.com/\n", "https://a.com/?x=1 ",
			"https://a.com/\u00a0",
		},
		"url must not have white space or control characters in its host": {
			"https://exa mple.com/", "https://a.com\t/", "https://a.com :443/",
		},
		"url must have ' ' percent-encoded: write %20": {
			"https://a.com/a b", "https://a.com/?city=New York", "https://a.com/?x HTTP/1.1",
		},
		"url must not have control characters": {
			"https://a.com/a\tb", "https://a.com/\x00b", "https://a.com/?a\nb",
		},
		"url must have '\u00f6' percent-encoded: write %C3%B6": {
			"https://a.com/?city=K\u00f6ln", "https://a.com/K\u00f6ln",
		},
		`url must have '\u0080' percent-encoded: write %C2%80`: {"https://a.com/\u0080"},
		"url must have '\\\\' percent-encoded: write %5C": {
			`https://a.com/a\b`, `https://a.com/?a\b`,
		},
		"url must have '{' percent-encoded: write %7B": {
			"https://a.com/%2F/{id}", "https://a.com/?a={id}",
		},
		"url must have two hexadecimal digits after each %; write a % itself as %25": {
			"https://a.com/100%", "https://a.com/%zz", "https://a.com/?a=100%", "https://a.com/?a=%+1", "https://a.com/?%2",
		},
		"url must have its host in ASCII: write xn--bcher-kva.example": {
			"https://b\u00fccher.example/", "https://B\u00dcCHER.example/", "https://b%C3%BCcher.example/",
		},
		"url must have its host in ASCII: write example.com": {
			"https://ex%61mple.com/",
		},
		"url must have its host in ASCII: write xn--strae-oqa.example:444": {
			"https://stra\u00dfe.example:444/",
		},
		"url must have its host in ASCII": {
			"https://\uff11\uff12\uff17.\uff10.\uff10.\uff11/", "https://\uff42..example/",
		},
		"url must not have a zone in its address": {
			"https://[fe80::1%25eth0]/",
		},
		"url must use https": {
			"http://example.com/", "ftp://example.com/", "file://example.com/x",
		},
		"url must not contain a user name or password; use a custom header": {
			"https://user:pass@example.com/", "https://user@example.com/",
		},
		"url must not have a fragment": {
			"https://example.com/#top", "https://example.com/#",
		},
		"url must be at most 2048 characters": {
			"https://example.com/" + strings.Repeat("a", 2048-19),
		},
		"url must not point to a private, local or reserved address": {
			"https://127.0.0.1/", "https://10.1.2.3/", "https://192.168.0.1/", "https://172.16.0.1/", "https://100.64.0.1/",
			"https://169.254.169.254/latest", "https://0.0.0.0/", "https://224.0.0.1/", "https://168.63.129.16/",
			"https://[::1]/", "https://[::]/", "https://[fe80::1]/", "https://[fd00::1]/",
			"https://[::ffff:127.0.0.1]/", "https://[64:ff9b::7f00:1]/",
			"https://localhost/", "https://LOCALHOST./", "https://a.localhost/",
		},
	} {
		for _, raw := range urls {
			err := strict.CheckURL(raw)
			var urlErr *webhook.URLError
			require.ErrorAs(t, err, &urlErr, "%q", raw)
			assert.Equal(t, want, err.Error(), "%q", raw)
		}
	}
}

func TestCheckURLNamesTheSchemesThatAreAllowed(t *testing.T) {
	t.Parallel()
	err := webhook.NewClient(webhook.ClientOptions{AllowHTTP: true}).CheckURL("ftp://example.com/")
	require.EqualError(t, err, "url must use https or http")
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

// A URL's path and query may carry secrets, so only its host is shown.
func TestHost(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		"https://user:hunter2@hooks.example:8443/hunter2?token=hunter2": "hooks.example:8443",
		"http://%zz/hunter2": "?",
	} {
		assert.Equal(t, want, webhook.Host(raw))
	}
}

func TestHostPort(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		"https://user:hunter2@Hooks.Example:8443/hunter2?token=hunter2": "hooks.example:8443",
		"https://HOOKS.example/a":     "hooks.example:443",
		"https://hooks.example:443/b": "hooks.example:443",
		"HTTP://hooks.example/":       "hooks.example:80",
		"http://[::1]/":               "[::1]:80",
		"http://%zz/hunter2":          "?",
	} {
		assert.Equal(t, want, webhook.HostPort(raw))
	}
}
