package webhook

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"
)

const (
	// keptBody is how much of an answer is kept for the attempt's record.
	keptBody = 4 << 10

	// drainedBody is how much more is read and thrown away so that the connection can be used again; past that a new
	// connection is cheaper.
	drainedBody = 64 << 10

	// bodyGrace bounds reading the answer's body. The status line has decided the attempt; a receiver that trickles a body
	// must not hold our side until the attempt's deadline.
	bodyGrace = 2 * time.Second
)

// Request is one attempt of one delivery.
type Request struct {
	URL     string
	Profile *Profile // required
	Message Message
	Body    []byte        // what Profile.Render returned when the delivery was made; sent as it is
	Secrets Secrets       // raw signing secrets, current first; none: the attempt is not signed
	Headers []Header      // the user's own
	Timeout time.Duration // total deadline of the attempt; 0 means the profile's

	// Attempt (from 1) and Trigger (what caused it) travel with the request for the caller's record; they are not sent.
	Attempt int
	Trigger string
}

// Response is what the receiver did.
type Response struct {
	StatusCode int           // 0 if no status line came
	ErrorKind  ErrorKind     // KindNone if an answer came that is not a redirect
	Error      string        // why the attempt failed, for people; empty on success; never holds URLs, addresses or secrets
	StartedAt  time.Time     // the moment that was signed
	Duration   time.Duration // until the answer was read, or the attempt given up
	RetryAfter time.Duration // what the receiver asked for, not yet bounded; 0 = nothing
	Body       []byte        // the first 4 KiB of the answer, as they came: may be compressed, not UTF-8, or hold NUL bytes
	Header     http.Header   // the answer's headers; nil if none came
}

// Send makes one attempt: exactly one POST of r.Body, signed now. It returns no error: whatever the receiver did is in the
// Response. If ctx ended before an answer came (a shutdown, the caller's own deadline), ErrorKind is KindCanceled; that is the
// caller's failure to report, not the receiver's.
func (c *Client) Send(ctx context.Context, r Request) Response {
	out := Response{StartedAt: time.Now()}
	timeout := r.Timeout
	if timeout <= 0 {
		timeout = r.Profile.Timeout
	}
	attempt, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()

	resp, err := c.post(attempt, &r, out.StartedAt) //nolint:bodyclose // readAnswer closes it, late where it must
	if err != nil {
		out.ErrorKind, out.Error = failureOf(ctx, attempt, err)
		out.Duration = time.Since(out.StartedAt)
		return out
	}
	out.StatusCode = resp.StatusCode
	out.Header = resp.Header
	out.RetryAfter = parseRetryAfter(resp.Header.Get("Retry-After"), time.Now())
	out.ErrorKind, out.Error = verdictOf(r.Profile, resp.StatusCode)
	out.Body = readAnswer(resp.Body, cancel)
	out.Duration = time.Since(out.StartedAt)
	return out
}

// post goes to the transport directly: http.Client would add redirects, cookies and the URL in every error text.
func (c *Client) post(ctx context.Context, r *Request, at time.Time) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.URL, bytes.NewReader(r.Body))
	if err != nil {
		return nil, &URLError{"must be a valid URL"}
	}
	if err := c.checkParsed(req.URL); err != nil {
		return nil, err
	}
	if req.Header, err = r.Header(at); err != nil {
		return nil, err
	}
	return c.transport.RoundTrip(req)
}

// verdictOf describes a status that is no success.
func verdictOf(p *Profile, status int) (ErrorKind, string) {
	switch {
	case status >= 300 && status <= 399:
		return KindRedirect, statusText(status) + " (redirects are not followed)"
	case p.Success(status):
		return KindNone, ""
	}
	return KindNone, statusText(status)
}

func statusText(status int) string {
	text := "HTTP " + strconv.Itoa(status)
	if reason := http.StatusText(status); reason != "" {
		text += " " + reason
	}
	return text
}

var buffers = sync.Pool{New: func() any { return new([keptBody]byte) }}

// readAnswer returns the first bytes of the body and leaves the connection reusable where that is cheap. A body that breaks off
// is kept as far as it came: the status line has already decided the attempt.
func readAnswer(body io.ReadCloser, cancel context.CancelFunc) []byte {
	defer func() { _ = body.Close() }() // nothing is left to lose
	if body == http.NoBody {
		return nil
	}
	grace := time.AfterFunc(bodyGrace, cancel)
	defer grace.Stop()

	buf := buffers.Get().(*[keptBody]byte)
	defer buffers.Put(buf)
	n, _ := io.ReadFull(body, buf[:])
	if n == keptBody {
		_, _ = io.CopyN(io.Discard, body, drainedBody)
	}
	return bytes.Clone(buf[:n])
}
