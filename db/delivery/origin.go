package delivery

import (
	"context"
	"sync"

	"github.com/google/uuid"
)

// Origin is the request that causes events. Its id is stored with them, so that the log line of an attempt names the
// request, and it counts them for the request's own log line.
type Origin struct {
	RequestID string

	mu                 sync.Mutex
	first              uuid.UUID
	events, deliveries int
}

type originKey struct{}

// WithOrigin returns a context whose events have that origin.
func WithOrigin(ctx context.Context, o *Origin) context.Context {
	return context.WithValue(ctx, originKey{}, o)
}

// Events returns the id of the first event, and the numbers of events and deliveries. A transaction that was rolled
// back since is counted too.
func (o *Origin) Events() (first uuid.UUID, events, deliveries int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.first, o.events, o.deliveries
}

// setOrigin sets what events store of the request and the trace that cause them.
func setOrigin(ctx context.Context, es []*Event) {
	o, _ := ctx.Value(originKey{}).(*Origin)
	trace := traceOf(ctx)
	for _, e := range es {
		if o != nil {
			e.RequestID = o.RequestID
		}
		e.Trace = trace
	}
}

// noteStored counts events that were stored, with the number of deliveries of each.
func noteStored(ctx context.Context, es []*Event, deliveries ...int) {
	o, _ := ctx.Value(originKey{}).(*Origin)
	if o == nil || len(es) == 0 {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.events == 0 {
		o.first = es[0].ID
	}
	o.events += len(es)
	for _, n := range deliveries {
		o.deliveries += n
	}
}
