package webhook

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// maxURLLength is the limit of the webhooks API, in characters.
const maxURLLength = 2048

// URLError says why an endpoint URL is refused, in a sentence that begins with "url" and can be shown to the user. It
// does not repeat the URL, which may hold credentials.
type URLError struct{ Reason string }

func (e *URLError) Error() string { return "url " + e.Reason }

// CheckURL returns a *URLError for an endpoint URL that can never be called, or whose request line would differ from
// what is written. It checks the text alone: a name that resolves to a blocked address is refused when it is dialled.
func (c *Client) CheckURL(raw string) error {
	_, err := c.parseURL(raw)
	return err
}

// parseURL reads an endpoint URL, at registration and on each attempt. It normalizes and encodes nothing, so that the
// request target and Host are byte for byte what was registered. It refuses a URL that needs encoding, and names the
// form to write.
func (c *Client) parseURL(raw string) (*url.URL, error) {
	if utf8.RuneCountInString(raw) > maxURLLength {
		return nil, &URLError{"must be at most 2048 characters"}
	}
	switch {
	case !utf8.ValidString(raw), !strings.Contains(raw, "://"):
		return nil, &URLError{"must be a valid URL"}
	case strings.TrimSpace(raw) != raw:
		return nil, &URLError{"must not begin or end with white space"}
	}
	authority, target := splitURL(raw)
	if reason := badHostText(authority); reason != "" {
		return nil, &URLError{reason}
	}
	if reason := badTargetText(target); reason != "" {
		return nil, &URLError{reason}
	}
	u, err := url.Parse(raw)
	if err != nil || u.Opaque != "" || !u.IsAbs() || !validHost(u.Hostname()) || !validPort(u) {
		return nil, &URLError{"must be a valid URL"}
	}
	if err := c.checkParsed(u); err != nil {
		return nil, err
	}
	if sent := u.RequestURI(); sent != target && sent != "/"+target { // HTTP writes an empty path as "/"
		return nil, &URLError{"must be a valid URL"}
	}
	return u, nil
}

// splitURL returns the authority of a URL and the text after it.
func splitURL(raw string) (authority, target string) {
	_, rest, _ := strings.Cut(raw, "://")
	if end := strings.IndexAny(rest, "/?#"); end >= 0 {
		return rest[:end], rest[end:]
	}
	return rest, ""
}

// badHostText says why a host cannot be sent as written; "" if it can.
func badHostText(authority string) string {
	if strings.ContainsFunc(authority, blank) {
		return "must not have white space or control characters in its host"
	}
	host, port := authority, ""
	if i := strings.LastIndexByte(authority, ':'); i >= 0 && !strings.HasSuffix(authority, "]") {
		host, port = authority[:i], authority[i:]
	}
	plain, err := url.PathUnescape(host)
	if err != nil {
		return "must be a valid URL"
	}
	if isASCII(plain) && !strings.Contains(host, "%") {
		return ""
	}
	if strings.HasPrefix(host, "[") {
		return "must not have a zone in its address"
	}
	if ascii, err := idna.Lookup.ToASCII(plain); err == nil && validHost(ascii) && !isAddress(ascii) {
		return "must have its host in ASCII: write " + ascii + port
	}
	return "must have its host in ASCII"
}

// badTargetText says why a path and query cannot be sent as written; "" if they can. It allows the characters of RFC
// 3986 and square brackets, which many query strings have and common servers accept.
func badTargetText(target string) string {
	for i, r := range target {
		switch {
		case r == '#':
			return "must not have a fragment"
		case r == '%':
			if !isEscape(target[i:]) {
				return "must have two hexadecimal digits after each %; write a % itself as %25"
			}
		case r != ' ' && r < utf8.RuneSelf && blank(r):
			return "must not have control characters"
		case r == ' ', r >= utf8.RuneSelf, strings.ContainsRune("\"<>\\^`{|}", r):
			return fmt.Sprintf("must have %q percent-encoded: write %s", r, percentEncoded(r))
		}
	}
	return ""
}

func blank(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }

func percentEncoded(r rune) string {
	var out strings.Builder
	for _, b := range []byte(string(r)) {
		fmt.Fprintf(&out, "%%%02X", b)
	}
	return out.String()
}

func isAddress(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil
}

func isASCII(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r >= utf8.RuneSelf }) < 0
}

// isEscape reports whether two hexadecimal digits follow the % that s begins with.
func isEscape(s string) bool {
	if len(s) < 3 {
		return false
	}
	_, err := strconv.ParseUint(s[1:3], 16, 8)
	return err == nil
}

// checkParsed checks the rules that depend on the client's configuration. Every attempt checks them again, because a
// webhook may be older than the configuration.
func (c *Client) checkParsed(u *url.URL) error {
	switch {
	case u.User != nil:
		return &URLError{"must not contain a user name or password; use a custom header"}
	case u.Scheme == "http" && !c.opts.AllowHTTP:
		return &URLError{"must use https"}
	case u.Scheme != "https" && u.Scheme != "http" && c.opts.AllowHTTP:
		return &URLError{"must use https or http"}
	case u.Scheme != "https" && u.Scheme != "http":
		return &URLError{"must use https"}
	}
	return c.checkHost(u.Hostname(), hostPort(u))
}

func (c *Client) checkHost(host, hostPort string) error {
	switch {
	case c.opts.Services != nil && !slices.Contains(c.opts.Services, hostPort):
		return &URLError{"must be one of the configured services"}
	case c.blockedHost(host):
		return &URLError{"must not point to a private, local or reserved address"}
	}
	return nil
}

// blockedHost covers literal addresses, and names that are loopback by definition (RFC 6761 §6.3).
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

// validHost accepts an address without a zone, or a name of non-empty labels within DNS limits. It refuses a name whose
// last label is a number: many resolvers take it as an IPv4 address (127.1, 2130706433, 0x7f000001). The URL standard
// refuses it too (https://url.spec.whatwg.org/#ends-in-a-number-checker).
func validHost(host string) bool {
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.Zone() == ""
	}
	host = strings.TrimSuffix(host, ".")
	if len(host) > 253 {
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
		if !alnum && r != '-' && r != '_' {
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

// Host returns the part of a webhook's URL that may be shown; path and query may hold secrets. "?" if it is not a URL.
func Host(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return "?"
	}
	return u.Host
}

// HostPort returns the lower-case host of a webhook's URL with its port, the scheme's default port included: "?" for a
// URL that cannot be parsed.
func HostPort(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return "?"
	}
	return hostPort(u)
}

func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[strings.ToLower(u.Scheme)]
	}
	return strings.ToLower(net.JoinHostPort(u.Hostname(), port))
}
