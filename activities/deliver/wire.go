package deliver

import (
	"context"
	"sync"
	"time"

	"greenroom/activities/inflight"
)

// Wire bounds the requests to quick receivers that are sent and not answered: a kill repeats them, because no process
// can know whether they arrived. A receiver that takes longer than wireLimit gives its token back. A nil Wire bounds
// nothing.
type Wire struct{ tokens chan struct{} }

const (
	// wireTokens is how many requests to quick receivers a process has under way: with two, a machine of two cores is as
	// fast as with a hundred (measured), because the receivers' answers wait for the processor anyway.
	wireTokens = 2
	// wireLimit is how long a quick receiver takes at most.
	wireLimit = inflight.QuickBelow
)

// NewWire returns a bound for a process.
func NewWire() *Wire { return &Wire{tokens: make(chan struct{}, wireTokens)} }

// begin waits for a token, if the receiver is quick, until ctx ends. end gives it back.
func (w *Wire) begin(ctx context.Context, quick bool) (end func()) {
	if w == nil || !quick {
		return func() {}
	}
	select {
	case w.tokens <- struct{}{}:
	case <-ctx.Done():
		return func() {}
	}
	giveBack := sync.OnceFunc(func() { <-w.tokens })
	slow := time.AfterFunc(wireLimit, giveBack)
	return func() {
		slow.Stop()
		giveBack()
	}
}
