package webhook

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/textproto"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"
)

// Errors that [CheckHeader] wraps.
var (
	ErrReservedHeader = errors.New("header name is reserved")
	ErrInvalidHeader  = errors.New("header is not valid HTTP")
)

// reserved are the names that a user may not configure. They prove who sent what, describe the signed body, name the
// sender, or belong to the connection. Credentials such as Authorization or X-API-Key stay allowed: custom headers
// exist for them.
var reserved = map[string]bool{
	HeaderID:                true,
	HeaderTimestamp:         true,
	HeaderSignature:         true,
	HeaderTest:              true,
	HeaderSequence:          true,
	"X-Webhook-Signature":   true,
	"X-Webhook-Event":       true,
	"X-Webhook-Delivery-Id": true,
	"X-Webhook-Timestamp":   true,

	"Content-Type":     true,
	"Content-Length":   true,
	"Content-Encoding": true,
	"Host":             true,
	"User-Agent":       true,
	"Accept-Encoding":  true,
	"Expect":           true,

	// net/http retries a request that carries one of these; an attempt is one POST
	"Idempotency-Key":   true,
	"X-Idempotency-Key": true,

	// hop-by-hop headers of RFC 9110 §7.6.1 and earlier RFCs
	"Connection":          true,
	"Keep-Alive":          true,
	"Proxy-Connection":    true,
	"Proxy-Authenticate":  true,
	"Proxy-Authorization": true,
	"Te":                  true,
	"Trailer":             true,
	"Transfer-Encoding":   true,
	"Upgrade":             true,
	"Http2-Settings":      true,
}

// ReservedHeader reports whether a custom header of that name is refused. Case does not matter, and "_" counts as "-",
// because WSGI and CGI show a receiver both as the same character.
func ReservedHeader(name string) bool { return reserved[headerKey(name)] }

func sameHeader(a, b string) bool { return headerKey(a) == headerKey(b) }

func headerKey(name string) string {
	return textproto.CanonicalMIMEHeaderKey(strings.ReplaceAll(name, "_", "-"))
}

// CheckHeader refuses a custom header that is reserved (ErrReservedHeader) or that HTTP cannot carry
// (ErrInvalidHeader). The error names the header and does not repeat its value.
func CheckHeader(h Header) error {
	switch {
	case !httpguts.ValidHeaderFieldName(h.Name):
		return fmt.Errorf("%w: name %q", ErrInvalidHeader, h.Name)
	case ReservedHeader(h.Name):
		return fmt.Errorf("%w: %s", ErrReservedHeader, h.Name)
	case !httpguts.ValidHeaderFieldValue(h.Value) || strings.Trim(h.Value, " \t") != h.Value:
		return fmt.Errorf("%w: value of %s", ErrInvalidHeader, h.Name) // net/http would trim the white space
	}
	return nil
}

// Header returns the headers of an attempt made at that time. It skips a reserved custom header, because a stored
// webhook may be older than the rule. It returns an error for one that HTTP cannot carry, because the receiver would
// refuse an attempt without its credentials.
func (r *Request) Header(at time.Time) (http.Header, error) {
	h := make(http.Header, 16)
	for _, c := range r.Headers {
		switch err := r.Profile.CheckHeader(c); {
		case err == nil:
			h.Add(c.Name, c.Value)
		case !errors.Is(err, ErrReservedHeader):
			return nil, err
		}
	}
	if r.authorization != "" {
		h["Authorization"] = []string{r.authorization} // a profile's own, which Sign sets, wins
	}
	h["Content-Type"] = []string{"application/json"}
	h["User-Agent"] = []string{r.Profile.UserAgent}
	if r.Test {
		h[HeaderTest] = []string{"true"}
	}
	r.signStandard(h, at)
	if r.Profile.KeyHeader != "" && r.Key != "" {
		h[r.Profile.KeyHeader] = []string{r.Key}
	}
	if r.Profile.Sign != nil {
		r.Profile.Sign(h, r.Message, r.Secrets, r.Body, at)
	}
	if h["Traceparent"] == nil {
		maps.Copy(h, r.Trace)
	}
	return h, nil
}
