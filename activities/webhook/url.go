package webhook

import (
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxURLLength is the limit of the webhooks API, in characters.
const maxURLLength = 2048

// URLError says why an endpoint URL is refused, in a sentence that begins with "url" and can be shown to the user as it is. It
// does not repeat the URL, which may hold credentials.
type URLError struct{ Reason string }

func (e *URLError) Error() string { return "url " + e.Reason }

// CheckURL refuses an endpoint URL that could never be called, with a *URLError. It looks at the text alone: a name that
// resolves to a forbidden address is refused when it is dialled, not here.
func (c *Client) CheckURL(raw string) error {
	if utf8.RuneCountInString(raw) > maxURLLength {
		return &URLError{"must be at most 2048 characters"}
	}
	u, err := url.Parse(raw)
	if err != nil || u.Opaque != "" || !u.IsAbs() || !validHost(u.Hostname()) || !validPort(u) {
		return &URLError{"must be a valid URL"}
	}
	if strings.Contains(raw, "#") {
		return &URLError{"must not have a fragment"}
	}
	return c.checkParsed(u)
}

// checkParsed holds the rules that depend on the client's configuration; they are checked again on every send, because a
// webhook may be older than the configuration.
func (c *Client) checkParsed(u *url.URL) error {
	switch {
	case u.User != nil:
		return &URLError{"must not contain a user name or password; use a custom header"}
	case u.Scheme == "http" && !c.opts.AllowHTTP:
		return &URLError{"must use https"}
	case u.Scheme != "https" && u.Scheme != "http":
		return &URLError{"must use https"}
	case c.blockedHost(u.Hostname()):
		return &URLError{"must not point to a private, local or reserved address"}
	}
	return nil
}

// blockedHost covers literal addresses and the names that are loopback by definition (RFC 6761 §6.3).
func (c *Client) blockedHost(host string) bool {
	if ip, err := netip.ParseAddr(host); err == nil {
		return c.guard.check(ip) != nil
	}
	if c.opts.AllowLoopback {
		return false
	}
	name := strings.TrimSuffix(strings.ToLower(host), ".")
	return name == "localhost" || strings.HasSuffix(name, ".localhost")
}

// validHost accepts an address or a name of non-empty labels within DNS limits. Names outside ASCII pass: net/http encodes them.
// A name whose last label is a number is an IPv4 address in one of its odd spellings (127.1, 2130706433, 0x7f000001) to many
// resolvers, so it is refused, as the URL standard does (https://url.spec.whatwg.org/#ends-in-a-number-checker).
func validHost(host string) bool {
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	host = strings.TrimSuffix(host, ".")
	if host == "" || len(host) > 253 {
		return false
	}
	for label := range strings.SplitSeq(host, ".") {
		if !validLabel(label) {
			return false
		}
	}
	return !numeric(host[strings.LastIndexByte(host, '.')+1:])
}

func numeric(label string) bool {
	if _, err := strconv.ParseUint(label, 10, 64); err == nil {
		return true
	}
	hex, ok := strings.CutPrefix(strings.ToLower(label), "0x")
	return ok && strings.Trim(hex, "0123456789abcdef") == ""
}

func validLabel(label string) bool {
	if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
		return false
	}
	for _, r := range label {
		alnum := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
		if !alnum && r != '-' && r != '_' && r < utf8.RuneSelf {
			return false
		}
	}
	return true
}

func validPort(u *url.URL) bool {
	if u.Port() == "" {
		return !strings.HasSuffix(u.Host, ":")
	}
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	return err == nil && port > 0
}
