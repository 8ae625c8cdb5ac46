// Package listen is a receiver of webhooks that checks signatures, duplicates and age.
//
// It verifies with the reference library of Standard Webhooks and shares no code with Greenroom's sender, so that a
// verified delivery is evidence for the contract and not only for one implementation. It can
// also simulate a failing receiver. The Receiver does not print; the Printer does, so tests can use the Receiver
// silently.
package listen

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// maxBody is far more than Greenroom sends (1 MiB). It bounds the memory that a request can use.
const maxBody = 8 << 20

// attemptHeaders are the headers in which senders number the attempts of a delivery. The first one present is shown.
var attemptHeaders = []string{"webhook-attempt", "X-Webhook-Attempt", "X-Delivery-Attempt"}

// Options configures a Receiver. The zero value accepts everything and verifies nothing.
type Options struct {
	// Secret is the signing secret: 64 hex digits, or whsec_ and Base64. Empty: deliveries are not verified.
	Secret string
	// Fail is the number of first deliveries that get the response Status.
	Fail int
	// Status is the response to a failing delivery (default 500).
	Status int
	// Delay is the wait before every response.
	Delay time.Duration
	// Accept is the response to a delivery that is accepted (default 204).
	Accept int
	// AwaitSecret holds deliveries until SetSecret is called, because what arrives before cannot be verified.
	AwaitSecret bool
	// ForwardTo is the URL that accepted deliveries are sent to as they came; its answer is the response. "": none.
	ForwardTo string
	// OnDelivery is called for each delivery before the response. Calls are not concurrent.
	OnDelivery func(Delivery)
}

// Delivery is one POST that arrived.
type Delivery struct {
	At       time.Time
	ID       string // header webhook-id
	Event    string // the body's event or type
	Attempt  string // the number that the sender gave, if any
	Body     []byte
	Verified bool
	Reason   string        // why it is not verified
	Seen     int           // number of arrivals of this ID, including this one
	Repeat   bool          // an earlier arrival got a 2xx: this is a duplicate, not a retry
	Status   int           // the answer
	Refusal  string        // why it could not be forwarded
	Age      time.Duration // from the body's timestamp to At; negative if the body has none
}

// Summary has the counts of a Receiver.
type Summary struct {
	Received, Verified, Duplicates int
}

// Receiver is an http.Handler that accepts deliveries by POST on any path. The response is 401 if a delivery does not
// verify, otherwise 204, or as configured by Fail. It is safe for concurrent use.
type Receiver struct {
	opts Options
	// secret is closed when deliveries can be verified, or need not be.
	secret    chan struct{}
	forwarder *forwarder // nil: deliveries are not forwarded

	mu      sync.Mutex
	wh      *standardwebhooks.Webhook // nil: no secret
	fail    int
	seen    map[string]*sighting
	summary Summary
}

type sighting struct {
	times int
	taken bool
}

// New returns a Receiver, or an error if the secret has neither of the two forms.
func New(opts Options) (*Receiver, error) {
	if opts.Status == 0 {
		opts.Status = http.StatusInternalServerError
	}
	if opts.Status < 200 || opts.Status > 599 {
		return nil, fmt.Errorf("status must be 200 to 599, not %d", opts.Status)
	}
	if opts.Fail < 0 {
		return nil, fmt.Errorf("the number of deliveries to refuse must not be negative, but is %d", opts.Fail)
	}
	if opts.Delay < 0 {
		return nil, fmt.Errorf("the delay must not be negative, but is %s", opts.Delay)
	}
	if opts.Accept == 0 {
		opts.Accept = http.StatusNoContent
	}
	r := &Receiver{opts: opts, fail: opts.Fail, seen: map[string]*sighting{}, secret: make(chan struct{})}
	if opts.ForwardTo != "" {
		var err error
		if r.forwarder, err = newForwarder(opts.ForwardTo); err != nil {
			return nil, err
		}
	}
	if !opts.AwaitSecret {
		close(r.secret)
	}
	if opts.Secret == "" {
		return r, nil
	}
	return r, r.SetSecret(opts.Secret)
}

// SetSecret sets the secret for later deliveries: it is known only after the registration of the receiver.
func (r *Receiver) SetSecret(secret string) error {
	wh, err := verifier(secret)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.wh == nil && r.opts.AwaitSecret {
		close(r.secret)
	}
	r.wh = wh
	return nil
}

// FailNext makes the next n deliveries fail.
func (r *Receiver) FailNext(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fail = n
}

// Summary returns the counts so far.
func (r *Receiver) Summary() Summary {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.summary
}

func (r *Receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if req.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "greenroom listen: send webhooks by POST", http.StatusMethodNotAllowed)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, maxBody))
	if err != nil {
		http.Error(w, "body cannot be read: "+err.Error(), http.StatusBadRequest)
		return
	}
	select {
	case <-r.secret:
	case <-req.Context().Done():
		return
	}
	d := r.take(req.Header, body)
	select {
	case <-time.After(r.opts.Delay):
	case <-req.Context().Done(): // the sender's timeout: it counts this attempt as failed
		return
	}
	if r.forwards(&d) {
		r.forward(w, req, &d)
		return
	}
	r.answered(d)
	w.WriteHeader(d.Status)
}

// take records a delivery and determines the response, which that of ForwardTo replaces.
func (r *Receiver) take(header http.Header, body []byte) Delivery {
	r.mu.Lock()
	defer r.mu.Unlock()
	d := describe(header, body)
	d.Verified, d.Reason = r.verify(header, body)
	d.Seen, d.Repeat = r.see(d.ID)
	d.Status = r.decide(d)
	r.count(d)
	if r.opts.OnDelivery != nil && !r.forwards(&d) {
		r.opts.OnDelivery(d)
	}
	return d
}

func (r *Receiver) see(id string) (times int, repeat bool) {
	if id == "" {
		return 1, false
	}
	s := r.seen[id]
	if s == nil {
		s = &sighting{}
		r.seen[id] = s
	}
	s.times++
	return s.times, s.taken
}

func (r *Receiver) decide(d Delivery) int {
	switch {
	case r.fail > 0:
		r.fail--
		return r.opts.Status
	case r.wh != nil && !d.Verified:
		return http.StatusUnauthorized
	default:
		return r.opts.Accept
	}
}

func (r *Receiver) count(d Delivery) {
	r.summary.Received++
	if d.Verified {
		r.summary.Verified++
	}
	if d.Repeat {
		r.summary.Duplicates++
	}
}

// answered records that d's id was accepted. Only a later arrival of the id is a duplicate.
func (r *Receiver) answered(d Delivery) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.seen[d.ID]; s != nil && d.Status < 300 {
		s.taken = true
	}
}

func (r *Receiver) verify(header http.Header, body []byte) (bool, string) {
	if r.wh == nil {
		return false, "not verified: no --secret"
	}
	err := r.wh.Verify(body, header)
	for _, e := range reasons {
		if errors.Is(err, e.is) {
			return false, e.say
		}
	}
	if err != nil {
		return false, err.Error()
	}
	return true, ""
}

var reasons = []struct {
	is  error
	say string
}{
	{standardwebhooks.ErrRequiredHeaders, "no signature: webhook-id, webhook-timestamp or webhook-signature is missing"},
	{standardwebhooks.ErrInvalidHeaders, "webhook-timestamp is not a number"},
	{standardwebhooks.ErrNoMatchingSignature, "signature does not match the secret"},
	{standardwebhooks.ErrMessageTooOld, "signed more than 5 minutes ago"},
	{standardwebhooks.ErrMessageTooNew, "signed more than 5 minutes in the future"},
}

// verifier parses either form of a secret. 64 hex digits are 32 key bytes. They are also valid Base64 of other
// bytes, so they are tried first.
func verifier(secret string) (*standardwebhooks.Webhook, error) {
	if key, err := hex.DecodeString(secret); err == nil && len(key) == 32 {
		return standardwebhooks.NewWebhookRaw(key)
	}
	if strings.HasPrefix(secret, "whsec_") {
		if wh, err := standardwebhooks.NewWebhook(secret); err == nil {
			return wh, nil
		}
	}
	return nil, errors.New(
		"the signing secret must be 64 hex digits, or whsec_ followed by Base64",
	) // the secret is not printed
}

func describe(header http.Header, body []byte) Delivery {
	d := Delivery{At: time.Now(), ID: header.Get(standardwebhooks.HeaderWebhookID), Body: body, Age: -1}
	for _, name := range attemptHeaders {
		if d.Attempt = header.Get(name); d.Attempt != "" {
			break
		}
	}
	var fields struct {
		Event     string `json:"event"`
		Type      string `json:"type"`
		Timestamp any    `json:"timestamp"`
	}
	_ = json.Unmarshal(
		body,
		&fields,
	) // a body of another form is shown unchanged
	text, _ := fields.Timestamp.(string)
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		d.Age = d.At.Sub(at)
	}
	if d.Event = fields.Event; d.Event == "" {
		d.Event = fields.Type
	}
	return d
}
