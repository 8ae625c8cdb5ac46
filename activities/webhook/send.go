package webhook

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/url"
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

// Send makes one attempt: one POST of r.Body, signed now. Only when the connection was one that the receiver had kept
// open, and closed before a byte of an answer came, the same POST is made once more on a fresh connection; webhook-id
// tells a receiver that has seen both. Send is over when r.Timeout is, whatever the receiver does. It returns no
// error: what happened is in the Response. If ctx ended before an answer came (a shutdown, the caller's own
// deadline), ErrorKind is KindCanceled; that is the caller's failure to report, not the receiver's.
func (c *Client) Send(ctx context.Context, r Request) Response {
	out := Response{StartedAt: time.Now()}
	timeout := r.Timeout
	if timeout <= 0 {
		timeout = r.Profile.Timeout
	}
	deadline := out.StartedAt.Add(timeout)
	attempt, cancel := context.WithDeadline(withDialDeadline(ctx, deadline), deadline)
	defer cancel()

	resp, p, err := c.post(attempt, &r, out.StartedAt) //nolint:bodyclose // readAnswer closes it
	if err != nil {
		out.ErrorKind, out.Error = failureOf(ctx, attempt, p, err)
		out.Duration = time.Since(out.StartedAt)
		return out
	}
	out.StatusCode = resp.StatusCode
	out.Header = resp.Header
	out.RetryAfter = retryAfter(resp.Header, time.Now())
	out.ErrorKind, out.Error = verdictOf(&r, resp, time.Now())
	out.Body = readAnswer(resp, p, time.Until(deadline))
	out.Duration = time.Since(out.StartedAt)
	return out
}

// post goes to the transports directly: http.Client would add redirects, cookies and the URL in every error text.
func (c *Client) post(ctx context.Context, r *Request, at time.Time) (*http.Response, *progress, error) {
	p := new(progress)
	u, err := c.parseURL(r.URL)
	if err != nil {
		return nil, p, err
	}
	header, err := r.Header(at)
	if err != nil {
		return nil, p, err
	}
	resp, err := p.roundTrip(ctx, c.transport, u, header, r.Body)
	if err == nil || ctx.Err() != nil || !p.idleClosed() {
		return resp, p, err
	}
	p = new(progress)
	resp, err = p.roundTrip(ctx, c.fresh, u, header, r.Body)
	return resp, p, err
}

func (p *progress) roundTrip(
	ctx context.Context,
	t *http.Transport,
	u *url.URL,
	header http.Header,
	body []byte,
) (*http.Response, error) {
	req, err := http.NewRequestWithContext(p.watch(ctx), http.MethodPost, "", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.URL, req.Host, req.Header = u, u.Host, header
	return t.RoundTrip(req)
}

var buffers = sync.Pool{New: func() any { return new([keptBody]byte) }}

// readAnswer returns the first bytes of the body and leaves the connection reusable where that is cheap. A body that
// breaks off is kept as far as it came: the status line has already decided the attempt. Past its time the connection
// is closed under it.
func readAnswer(resp *http.Response, p *progress, left time.Duration) []byte {
	defer func() { _ = resp.Body.Close() }() // nothing is left to lose
	if resp.StatusCode == http.StatusSwitchingProtocols {
		p.stop() // what follows is another protocol, not a body
		return nil
	}
	if resp.Body == http.NoBody {
		return nil
	}
	late := time.AfterFunc(min(bodyGrace, left), p.stop)
	defer late.Stop()

	buf := buffers.Get().(*[keptBody]byte)
	defer buffers.Put(buf)
	n, _ := io.ReadFull(resp.Body, buf[:])
	if n == keptBody {
		_, _ = io.CopyN(io.Discard, resp.Body, drainedBody)
	}
	return bytes.Clone(buf[:n])
}
