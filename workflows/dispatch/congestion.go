package dispatch

import (
	"sync"
	"time"
)

// congestion bounds concurrent calls of Temporal by how it answers, as TCP bounds its window: it halves the bound after
// a call without an answer in time, and raises it while all are answered. An overloaded Temporal would otherwise spend
// its time on calls whose callers have given up, and get nothing done.
type congestion struct {
	mu    sync.Mutex
	bound int // 0: not yet known, callsAtOnce
}

const (
	// callsAtOnce is the highest bound: enough to hide the round trip, and few enough for other callers of Temporal.
	callsAtOnce = 32
	// callsMore is what a round without a late call adds.
	callsMore = 2
)

// atOnce returns the bound.
func (c *congestion) atOnce() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.bound == 0 {
		c.bound = callsAtOnce
	}
	return c.bound
}

// learn adapts the bound to a round that made calls under it. late: Temporal did not answer one of them.
func (c *congestion) learn(late bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if late {
		c.bound = max(c.bound/2, 1)
	} else {
		c.bound = min(c.bound+callsMore, callsAtOnce)
	}
}

// startsFor bounds the time in which a round starts workflows one by one: other deliveries wait for the next round.
// What is not started goes back to the queue.
const startsFor = time.Second
