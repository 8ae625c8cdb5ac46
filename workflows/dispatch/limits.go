package dispatch

import (
	"context"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/activities/inflight"
	"greenroom/db/delivery"
)

// limits knows when to ask for the next tokens of webhooks with a rate limit. The database counts the tokens.
type limits struct {
	dealer uuid.UUID // this dispatcher
	next   map[uuid.UUID]time.Time
	asked  time.Time // when due was called last
}

const (
	// tokenGap is the least time between two requests for the tokens of a webhook: above 20 deliveries/s some gather.
	tokenGap = 50 * time.Millisecond
	// lockedPause is when to ask again for the tokens of a webhook whose row was locked.
	lockedPause = 100 * time.Millisecond
	// forgetLimit is how long after its time a webhook is forgotten that was not found waiting again.
	forgetLimit = time.Minute
)

func newLimits() limits { return limits{dealer: uuid.New(), next: map[uuid.UUID]time.Time{}} }

// takeLimited takes the deliveries of webhooks with a rate limit for which there are tokens now, and adds them to t.
func (d *Dispatcher) takeLimited(
	ctx context.Context, tx bun.Tx, t *delivery.TakeResult, q inflight.Quotas, startBlocked bool,
) error {
	now := time.Now()
	requests := d.limits.due(t.Limited, q, q.Round-len(t.Ready), now)
	if len(requests) == 0 {
		return nil
	}
	deals, err := delivery.DealTokens(ctx, d.o.DB, d.limits.dealer, requests)
	if err != nil {
		return err
	}
	d.limits.note(requests, deals, time.Now())
	dealt, err := delivery.TakeDealt(ctx, tx, deals, now.Add(delivery.TokenLapse), startBlocked)
	t.Ready, t.Taken = append(t.Ready, dealt.Ready...), t.Taken+dealt.Taken
	return err
}

// due returns the requests for tokens of those webhooks whose time has come and that have room, for at most most
// deliveries.
func (l *limits) due(
	waiting []delivery.LimitedWebhook, q inflight.Quotas, most int, now time.Time,
) (requests []delivery.TokenRequest) {
	l.asked = now
	for _, w := range waiting {
		if now.Before(l.next[w.ID]) {
			continue
		}
		room, bounded := q.Webhook[w.ID]
		if !bounded {
			room = q.Flow
		}
		if w.Failing {
			room = min(room, q.Failing)
		}
		if room = min(room, most); room > 0 {
			requests, most = append(requests, delivery.TokenRequest{Webhook: w.ID, Room: room}), most-room
		}
	}
	return requests
}

// note records when to ask again.
func (l *limits) note(requests []delivery.TokenRequest, deals []delivery.Deal, now time.Time) {
	for id, next := range l.next {
		if now.Sub(next) > forgetLimit {
			delete(l.next, id)
		}
	}
	for _, r := range requests {
		l.next[r.Webhook] = now.Add(lockedPause)
	}
	for _, d := range deals {
		if d.Left {
			l.next[d.Webhook] = now.Add(max(d.Next, tokenGap))
		} else {
			delete(l.next, d.Webhook)
		}
	}
}

// nextAfter returns the earliest time to ask again for the tokens of webhooks that wait; zero: none waits for tokens. A
// webhook whose time had come and that was not asked for has no room: a place that is freed wakes the dispatcher.
func (l *limits) nextAfter(waiting []delivery.LimitedWebhook) (next time.Time) {
	for _, w := range waiting {
		if at := l.next[w.ID]; at.After(l.asked) && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	return next
}

// singleTokens keeps the tokens of deliveries that go back to the queue, marked as single, until this process starts
// them. Where another process does, the attempt takes a token of its own.
type singleTokens struct {
	mu    sync.Mutex
	until map[uuid.UUID]time.Time
}

func (s *singleTokens) keep(qs []delivery.QueuedDelivery) {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, until := range s.until {
		if now.After(until) {
			delete(s.until, id)
		}
	}
	for _, q := range qs {
		if q.TokenUntil.IsZero() {
			continue
		}
		if s.until == nil {
			s.until = map[uuid.UUID]time.Time{}
		}
		s.until[q.DeliveryID] = q.TokenUntil
	}
}

func (s *singleTokens) restore(qs []delivery.QueuedDelivery) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range qs {
		qs[i].TokenUntil = s.until[qs[i].DeliveryID]
		delete(s.until, qs[i].DeliveryID)
	}
}
