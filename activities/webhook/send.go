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
	// keptBody is how many bytes of an answer are kept for the attempt's record.
	keptBody = 4 << 10

	// drainedBody is how many more bytes are read and discarded, so that the connection can be reused. For more than that
	// a new connection is cheaper.
	drainedBody = 64 << 10

	// bodyGrace bounds reading the answer's body. The status line already decided the attempt, so a slow body must not
	// hold the sender until the attempt's deadline.
	bodyGrace = 2 * time.Second
)

// Request is one attempt of one delivery.
type Request struct {
	URL     string
	Profile *Profile // required
	Message Message
	Body    []byte  // the result of Profile.Render, sent unchanged
	Secrets Secrets // raw signing secrets, current first; without one the attempt is not signed
	// SigningKeys sign beside the secrets, current first; none for a webhook without v1a.
	SigningKeys SigningKeys
	Key         string        // the value of the profile's KeyHeader
	Headers     []Header      // custom headers
	Auth        *Auth         // credentials; nil for none. They replace a custom Authorization header.
	Test        bool          // marks the attempt with HeaderTest
	Timeout     time.Duration // total deadline of the attempt, with the request for a token; 0 means the profile's
	Trace       http.Header   // traceparent and tracestate; a custom traceparent wins

	// WebhookID names the webhook; tokens are remembered for it.
	WebhookID string

	authorization string // the value of Authorization; "" for none
}

// Response is what the receiver did.
type Response struct {
	StatusCode int           // 0 if no status line came
	ErrorKind  ErrorKind     // KindNone if an answer came that is not a redirect
	Error      string        // why the attempt failed, for people, without secrets; empty on success
	StartedAt  time.Time     // the signed time
	Duration   time.Duration // until the answer was read, or the attempt gave up
	RetryAfter time.Duration // the answer's Retry-After, not yet bounded; 0 if none
	Body       []byte        // the first 4 KiB of the answer, unchanged: may be compressed, not UTF-8, or hold NUL bytes
	Header     http.Header   // the answer's headers; nil if none came
}

// Send makes one attempt: one POST of r.Body, signed now. If a reused connection closes before the first byte of an
// answer, Send makes the same POST once more on a new connection; a receiver that got both sees the same webhook-id. It
// also does so with a new token when a receiver refuses a remembered OAuth2 token with 401. Without a token it sends
// nothing.
// Send returns after r.Timeout at the latest, whatever the receiver does. It returns no error: the Response says what
// happened. If ctx ends before an answer comes (a shutdown, the caller's own deadline), ErrorKind is KindCanceled, and
// the receiver is not at fault.
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
	out.ErrorKind, out.Error = answerFailure(&r, resp, time.Now())
	out.Body = readAnswer(resp, p, time.Until(deadline))
	out.Duration = time.Since(out.StartedAt)
	return out
}

// post uses the transports directly: http.Client would follow redirects, keep cookies and put the URL into errors.
func (c *Client) post(ctx context.Context, r *Request, at time.Time) (*http.Response, *progress, error) {
	p := new(progress)
	u, err := c.parseURL(r.URL)
	if err != nil {
		return nil, p, err
	}
	resp, p, renew, err := c.postAuthorized(ctx, u, r, at)
	if !renew {
		return resp, p, err
	}
	deadline, _ := ctx.Deadline() // Send's
	readAnswer(resp, p, time.Until(deadline))
	resp, p, _, err = c.postAuthorized(ctx, u, r, at)
	return resp, p, err
}

// postAuthorized makes the POST with the webhook's credentials. It forgets a token that the receiver refuses; renew: it
// was a remembered one, so a new one may be accepted.
func (c *Client) postAuthorized(
	ctx context.Context, u *url.URL, r *Request, at time.Time,
) (resp *http.Response, p *progress, renew bool, err error) {
	p = new(progress)
	auth, err := c.authorize(ctx, r)
	if err != nil {
		return nil, p, false, err
	}
	r.authorization = auth.value
	header, err := r.Header(at)
	if err != nil {
		return nil, p, false, err
	}
	resp, err = p.roundTrip(ctx, c.transport, u, header, r.Body)
	if err != nil && ctx.Err() == nil && p.idleClosed() {
		p = new(progress)
		resp, err = p.roundTrip(ctx, c.fresh, u, header, r.Body)
	}
	if err != nil || auth.token == nil || resp.StatusCode != http.StatusUnauthorized {
		return resp, p, false, err
	}
	c.tokens.forget(r, auth.token)
	return resp, p, !auth.fresh, nil
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

// readAnswer returns the first bytes of the body and leaves the connection reusable if that is cheap. A body that ends
// early is kept as far as it came, because the status line already decided the attempt. After bodyGrace, or left if
// that is shorter, it closes the connection.
func readAnswer(resp *http.Response, p *progress, left time.Duration) []byte {
	defer func() { _ = resp.Body.Close() }() // an error cannot change the result
	if resp.StatusCode == http.StatusSwitchingProtocols {
		p.stop() // what follows is another protocol, not a body
		return nil
	}
	if resp.Body == http.NoBody {
		return nil
	}
	timer := time.AfterFunc(min(bodyGrace, left), p.stop)
	defer timer.Stop()

	buf := buffers.Get().(*[keptBody]byte)
	defer buffers.Put(buf)
	n, _ := io.ReadFull(resp.Body, buf[:])
	if n == keptBody {
		_, _ = io.CopyN(io.Discard, resp.Body, drainedBody)
	}
	return bytes.Clone(buf[:n])
}
