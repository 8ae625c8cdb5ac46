package chaos

import (
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
)

// ledger records for each event the API's response and the arrivals at its receiver. Times are since the start of the
// load; 0 is "not yet".
type ledger struct {
	start  time.Time
	mu     sync.Mutex
	events []entry
}

type entry struct {
	hook       int       // index of its receiver
	keyed      bool      // it carries an Idempotency-Key
	id         uuid.UUID // of the event, once accepted
	accepted   time.Duration
	arrived    time.Duration   // first attempt that the receiver answered 2xx
	again      []time.Duration // further ones
	attempts   int
	deliveryID string // webhook-id of the first attempt
	split      bool   // another webhook-id was seen: the event was stored twice
}

func (l *ledger) now() time.Duration { return max(time.Since(l.start), 1) }

// add adds the entry of an event before it is published. The events go to all receivers in turn. In every
// second turn they carry an Idempotency-Key.
func (l *ledger) add(hooks int) (seq, hook int, keyed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	seq = len(l.events)
	hook, keyed = seq%hooks, seq/hooks%2 == 0
	l.events = append(l.events, entry{hook: hook, keyed: keyed})
	return seq, hook, keyed
}

func (l *ledger) accept(seq int, id uuid.UUID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := &l.events[seq]
	e.id, e.accepted = id, l.now()
}

// attempt records one POST to the receiver; ok means that it responds with 2xx.
func (l *ledger) attempt(seq int, webhookID string, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if seq < 0 || seq >= len(l.events) {
		return
	}
	e := &l.events[seq]
	e.attempts++
	if e.deliveryID == "" {
		e.deliveryID = webhookID
	}
	e.split = e.split || e.deliveryID != webhookID
	switch {
	case ok && e.arrived == 0:
		e.arrived = l.now()
	case ok:
		e.again = append(e.again, l.now())
	}
}

// snapshot returns a copy of the entries.
func (l *ledger) snapshot() []entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.events)
}

// counts returns the numbers of accepted events and of arrived ones among them.
func (l *ledger) counts() (accepted, arrived int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.events {
		if l.events[i].accepted == 0 {
			continue
		}
		accepted++
		if l.events[i].arrived != 0 {
			arrived++
		}
	}
	return accepted, arrived
}
