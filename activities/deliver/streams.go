package deliver

import (
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"greenroom/db/delivery"
)

const (
	// FlowsMost is how many webhooks and companies a batch or a stream may have: Temporal refuses a list attribute of
	// more than 2 KiB (limit.searchAttributesSizeOfValue), and an id takes 39 bytes of it.
	FlowsMost = 50
	// A stream is replaced after streamAge or streamDeliveries: its result, and what a Reset sends again, stay small. Its
	// workflow costs some 15 ms of CPU time.
	streamAge        = time.Minute
	streamDeliveries = 10_000
	// A stream ends when it was not used for idleAfter, or replacedAfter once another has taken its place.
	idleAfter     = 10 * time.Second
	replacedAfter = time.Second
	// streamsMost bounds the streams of a process. More flows than these have share workflows batch by batch.
	streamsMost = 16
)

// Streams are the streams of this process that take batches.
type Streams struct {
	mu     sync.Mutex
	open   []*Stream // the newest last
	opened int
}

// StreamPart is the deliveries of one round for one stream. Attempt or Drop must be called once.
type StreamPart struct {
	Stream     *Stream
	Deliveries []delivery.QueuedDelivery
	since      time.Time
}

// ID returns the stream's id, which a batch of the part must have.
func (p *StreamPart) ID() uuid.UUID { return p.Stream.id }

// Attempt begins the attempts of a batch that was committed with the stream's id. A batch that is handed over later
// than streamOrphanAfter may have been attempted as an orphan, so it is left to that.
func (p *StreamPart) Attempt(batch uuid.UUID) {
	if len(p.Deliveries) == 0 || elapsed(p.since) >= streamOrphanAfter {
		p.Drop()
		return
	}
	s := p.Stream
	s.mu.Lock()
	s.handing--
	s.open[batch] = true
	for _, q := range p.Deliveries {
		s.note(q.DeliveryID)
	}
	s.mu.Unlock()
	go s.attempt(batch, p.Deliveries, p.since)
}

// Drop is called when no batch was committed.
func (p *StreamPart) Drop() {
	s := p.Stream
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handing--
}

// Split divides deliveries among the streams. rest have none, because there is no room or they are replays. wanted:
// another stream is needed, for the rest or in place of one that has reached its age.
func (ss *Streams) Split(
	qs []delivery.QueuedDelivery,
) (parts []*StreamPart, rest []delivery.QueuedDelivery, wanted bool) {
	now := time.Now()
	ss.mu.Lock()
	defer ss.mu.Unlock()
	byFlow, byStream := map[delivery.Flow]*StreamPart{}, map[*Stream]*StreamPart{}
	for _, q := range qs {
		if q.Attempted() { // a record of the same run, which a stream has for long, would count as this attempt's
			rest = append(rest, q)
			continue
		}
		f := q.Flow()
		p, known := byFlow[f]
		if !known {
			s, fresh := ss.choose(f, now)
			if wanted = wanted || !fresh; s != nil {
				if p = byStream[s]; p == nil {
					p = s.begin()
					byStream[s] = p
					parts = append(parts, p)
				}
				s.addFlow(f)
			}
			byFlow[f] = p
		}
		if p == nil {
			rest = append(rest, q)
		} else {
			p.Deliveries = append(p.Deliveries, q)
		}
	}
	return parts, rest, wanted && ss.room(now)
}

// Single begins a part without deliveries in the only stream that has not reached its age. It is nil when there
// is none, or are several, or it has flows enough.
func (ss *Streams) Single() *StreamPart {
	if ss == nil {
		return nil
	}
	now := time.Now()
	ss.mu.Lock()
	defer ss.mu.Unlock()
	var single *Stream
	for _, s := range ss.open {
		switch _, flows, aged := s.look(delivery.Flow{}, now); {
		case aged:
		case single != nil || flows >= FlowsMost:
			return nil
		default:
			single = s
		}
	}
	if single == nil {
		return nil
	}
	return single.begin()
}

// Fill adds the deliveries that Split would give to the part's stream, and returns the others. A delivery whose caller
// waits for its outcome is one of them.
func (p *StreamPart) Fill(qs []delivery.QueuedDelivery) (rest []delivery.QueuedDelivery) {
	s := p.Stream
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, q := range qs {
		if f := q.Flow(); q.Attempted() || q.IsTest || !s.flows[f] && len(s.flows) >= FlowsMost {
			rest = append(rest, q)
		} else {
			s.flows[f] = true
			p.Deliveries = append(p.Deliveries, q)
		}
	}
	return rest
}

// room reports whether the process may have another stream. Those that have reached their age count less: they must be
// replaced.
func (ss *Streams) room(now time.Time) bool {
	fresh := 0
	for _, s := range ss.open {
		if _, _, aged := s.look(delivery.Flow{}, now); !aged {
			fresh++
		}
	}
	return fresh < streamsMost && len(ss.open) < 2*streamsMost
}

// choose returns the stream of a flow: one that has the flow or has room for it and has not reached its age, otherwise
// one that has the flow. fresh: it has not reached its age.
func (ss *Streams) choose(f delivery.Flow, now time.Time) (s *Stream, fresh bool) {
	var room, old *Stream
	for _, s := range slices.Backward(ss.open) {
		switch has, flows, aged := s.look(f, now); {
		case has && !aged:
			return s, true
		case !aged && flows < FlowsMost && room == nil:
			room = s
		case has && old == nil:
			old = s
		}
	}
	if room != nil {
		return room, true
	}
	return old, false
}

// Any reports whether the process has a stream that takes batches. A nil Streams has none.
func (ss *Streams) Any() bool {
	if ss == nil {
		return false
	}
	ss.mu.Lock()
	defer ss.mu.Unlock()
	return len(ss.open) > 0
}

// Opened counts the streams that began to take batches since the process started.
func (ss *Streams) Opened() int {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	return ss.opened
}

func (ss *Streams) add(s *Stream) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	ss.open = append(ss.open, s)
	ss.opened++
}

func (ss *Streams) remove(s *Stream) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	ss.open = slices.DeleteFunc(ss.open, func(o *Stream) bool { return o == s })
}

// retire removes a stream that is no longer used.
func (ss *Streams) retire(s *Stream, now time.Time) bool {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if !s.unused(now) {
		return false
	}
	ss.open = slices.DeleteFunc(ss.open, func(o *Stream) bool { return o == s })
	return true
}

func (s *Stream) unused(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.handing > 0 {
		return false
	}
	if s.aged(now) { // attempts under way end in drain
		return now.Sub(s.used) >= replacedAfter
	}
	return len(s.open) == 0 && now.Sub(s.used) >= idleAfter
}

// begin begins a part. The stream does not end before the part was handed over.
func (s *Stream) begin() *StreamPart {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handing++
	s.used = time.Now()
	return &StreamPart{Stream: s, since: s.used}
}

func (s *Stream) addFlow(f delivery.Flow) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flows[f] = true
}

// look returns whether the stream has a flow, how many it has, and whether it should be replaced. A stream whose lease
// is about to run out has none.
func (s *Stream) look(f delivery.Flow, now time.Time) (has bool, flows int, aged bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Sub(s.renewed) > delivery.StreamRenewWithin-streamTick {
		return false, 0, true
	}
	return s.flows[f], len(s.flows), s.aged(now)
}

func (s *Stream) aged(now time.Time) bool {
	return now.Sub(s.began) > streamAge || s.given >= streamDeliveries
}
