package listen

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"syscall"
	"time"
)

// forwardWait is how long a forwarded delivery waits for its answer by default: as long as the most patient profile.
const forwardWait = 30 * time.Second

// forwarder sends deliveries on to another receiver.
type forwarder struct {
	target *url.URL
	http   *http.Client
	wait   time.Duration
}

func newForwarder(to string) (*forwarder, error) {
	target, err := url.Parse(to)
	if err != nil || target.Scheme != "http" && target.Scheme != "https" || target.Host == "" {
		return nil, fmt.Errorf("the URL to forward to must be like http://127.0.0.1:3000/webhooks, not %q", to)
	}
	transport := &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 10} // adds no Accept-Encoding
	return &forwarder{target, &http.Client{
		Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, forwardWait}, nil
}

// SetForwardWait sets how long later deliveries that are forwarded wait for their answer.
func (r *Receiver) SetForwardWait(wait time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.forwarder != nil {
		r.forwarder.wait = wait
	}
}

// forwards reports whether the delivery is sent on. One that is not verified, or that Fail refuses, is not.
func (r *Receiver) forwards(d *Delivery) bool {
	return r.forwarder != nil && d.Status == r.opts.Accept
}

// forward sends a delivery on and answers with the answer that it gets. Without one it answers 502, so that the
// delivery is retried.
func (r *Receiver) forward(w http.ResponseWriter, req *http.Request, d *Delivery) {
	r.mu.Lock()
	wait := r.forwarder.wait
	r.mu.Unlock()
	ctx, cancel := context.WithTimeout(req.Context(), wait)
	defer cancel()
	resp, err := r.forwarder.send(ctx, req.Header, d.Body)
	if err != nil {
		d.Status, d.Refusal = http.StatusBadGateway, r.forwarder.reason(err, wait)
		r.report(*d)
		http.Error(w, "greenroom listen: "+d.Refusal, d.Status)
		return
	}
	defer resp.Body.Close()
	d.Status = resp.StatusCode
	r.report(*d)
	r.answered(*d)
	for name, values := range endToEnd(resp.Header) {
		w.Header()[name] = values
	}
	w.WriteHeader(resp.StatusCode)
	_, _ = io.Copy(w, resp.Body) // the status line has decided the attempt
}

// report calls OnDelivery.
func (r *Receiver) report(d Delivery) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.opts.OnDelivery != nil {
		r.opts.OnDelivery(d)
	}
}

func (f *forwarder) send(ctx context.Context, header http.Header, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, f.target.String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header = endToEnd(header)
	if _, found := req.Header["User-Agent"]; !found {
		req.Header["User-Agent"] = nil // net/http would add its own
	}
	return f.http.Do(req) //nolint:gosec // the user names the target on the command line
}

// reason says why there was no answer.
func (f *forwarder) reason(err error, wait time.Duration) string {
	var failed *url.Error
	switch {
	case errors.Is(err, context.Canceled):
		return "the sender did not wait for the answer of " + f.target.Host
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Sprintf("no answer from %s within %v", f.target.Host, wait)
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nothing listens on " + f.target.Host
	case errors.As(err, &failed):
		return fmt.Sprintf("no answer from %s: %v", f.target.Host, failed.Err)
	}
	return err.Error()
}

// hopByHop are the headers that concern one connection (RFC 9110 §7.6.1), in net/http's canonical form.
var hopByHop = []string{
	"Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection", "Te", "Trailer",
	"Transfer-Encoding", "Upgrade", "Content-Length",
}

// endToEnd returns the headers without those of the connection.
func endToEnd(h http.Header) http.Header {
	out := h.Clone()
	for _, name := range hopByHop {
		delete(out, name)
	}
	return out
}
