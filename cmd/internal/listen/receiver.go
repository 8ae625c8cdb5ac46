// Package listen is a receiver of webhooks that checks what it gets: signature, repeats, age.
//
// It verifies with the reference library of Standard Webhooks and shares no code with Greenroom's sender, so that a
// verified delivery says something about the contract and not about one implementation agreeing with itself. It can
// also play a broken receiver. The Receiver only observes and answers; printing is the Printer's, so tests use it
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

// maxBody is far above what Greenroom sends (1 MiB) and bounds what a stranger can make the receiver hold.
const maxBody = 8 << 20

// attemptHeaders are the names under which senders number the attempts of one delivery; the first present is shown.
var attemptHeaders = []string{"webhook-attempt", "X-Webhook-Attempt", "X-Delivery-Attempt"}

// Options configures a Receiver; the zero value takes everything and verifies nothing.
type Options struct {
	// Secret is the signing secret: 64 hex digits, or whsec_ and Base64. Empty: deliveries are not verified.
	Secret string
	// Fail is how many of the first deliveries are answered with Status.
	Fail int
	// Status answers a delivery that is to fail (default 500).
	Status int
	// Delay is waited before every answer.
	Delay time.Duration
	// OnDelivery is told of each delivery when it arrives, before it is answered; never by two goroutines at once.
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
	Seen     int           // how often this ID has come, this time included
	Repeat   bool          // an earlier one of this ID had been taken with 2xx: a duplicate, not a retry
	Status   int           // the answer
	Age      time.Duration // from the body's timestamp to At; negative if the body has none
}

// Summary counts what a Receiver got.
type Summary struct {
	Received, Verified, Duplicates int
}

// Receiver is an http.Handler that takes deliveries by POST on any path. A delivery that does not verify is answered
// with 401, as a careful receiver would; all others with 204, or as Fail says. Safe for concurrent use.
type Receiver struct {
	opts Options

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

// New returns a receiver, or an error if the secret has neither of the two forms.
func New(opts Options) (*Receiver, error) {
	if opts.Status == 0 {
		opts.Status = http.StatusInternalServerError
	}
	if opts.Status < 200 || opts.Status > 599 {
		return nil, fmt.Errorf("status %d cannot be answered: it must be 200 to 599", opts.Status)
	}
	r := &Receiver{opts: opts, fail: opts.Fail, seen: map[string]*sighting{}}
	if opts.Secret == "" {
		return r, nil
	}
	return r, r.SetSecret(opts.Secret)
}

// SetSecret verifies what arrives from now on with secret: the secret is only known once the receiver is registered.
func (r *Receiver) SetSecret(secret string) error {
	wh, err := verifier(secret)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.wh = wh
	return nil
}

// FailNext answers the next n deliveries with the failing status.
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
		http.Error(w, "greenroom listen: webhooks are delivered here by POST", http.StatusMethodNotAllowed)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, maxBody))
	if err != nil {
		http.Error(w, "body cannot be read: "+err.Error(), http.StatusBadRequest)
		return
	}
	d := r.take(req.Header, body)
	select {
	case <-time.After(r.opts.Delay):
	case <-req.Context().Done(): // the sender's time-out: it counts this attempt as failed
		return
	}
	r.answered(d)
	w.WriteHeader(d.Status)
}

// take records a delivery and decides its answer.
func (r *Receiver) take(header http.Header, body []byte) Delivery {
	r.mu.Lock()
	defer r.mu.Unlock()
	d := describe(header, body)
	d.Verified, d.Reason = r.verify(header, body)
	d.Seen, d.Repeat = r.see(d.ID)
	d.Status = r.decide(d)
	r.count(d)
	if r.opts.OnDelivery != nil {
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
		return http.StatusNoContent
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

// answered remembers that d's id has been taken: only after that is the same id again a duplicate.
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

// verifier reads either form of a secret. 64 hex digits are 32 key bytes; they would also pass as Base64 of other
// bytes, so they are looked for first.
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
	) // never printed itself
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
	) // a body of another shape is shown as it is: what is sent is not the receiver's choice
	text, _ := fields.Timestamp.(string)
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		d.Age = d.At.Sub(at)
	}
	if d.Event = fields.Event; d.Event == "" {
		d.Event = fields.Type
	}
	return d
}
