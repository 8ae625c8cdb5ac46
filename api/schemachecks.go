package api

import (
	"context"
	"runtime"
	"sync"
	"time"

	"greenroom/api/eventschema"
	"greenroom/api/surface"
)

// Checks of events against schemas are bounded for each request. These bounds are for all requests of one company, in
// each process, so that many requests do not occupy the processor.
const (
	// checkBurst is the number of steps that a company can use at once: four of the largest requests.
	checkBurst = 4 * eventschema.MaxSteps
	// checkRate is the number of steps per second that a company gets: half a core at most, and enough for 10,000 events
	// of 20 values.
	checkRate = eventschema.MaxSteps / 2
	checkWait = 5 * time.Second
	// maxCheckBudgets limits the memory of budgets.
	maxCheckBudgets = 10_000
)

// checksAtOnce limits the requests of one company that are checked at once: they exceed its budget at most by this
// number of requests. Checks need only CPU time, so twice the number of CPUs is enough for all companies.
var (
	checksAtOnce = int64(max(2, runtime.GOMAXPROCS(0)/2))
	checksTotal  = 2 * checksAtOnce
)

// schemaChecks holds the budgets of companies.
type schemaChecks struct {
	turns *surface.Shares
	now   func() time.Time

	mu      sync.Mutex
	budgets map[string]checkBudget
}

// checkBudget is a token bucket: left is its content at a time.
type checkBudget struct {
	left int
	at   time.Time
}

func newSchemaChecks() *schemaChecks {
	return &schemaChecks{
		turns:   surface.NewShares(checksTotal, checksAtOnce, checkWait),
		now:     time.Now,
		budgets: map[string]checkBudget{},
	}
}

// begin waits for the owner's turn to check. The caller must call end with the steps that it used. An owner whose
// budget is spent is refused.
func (s *schemaChecks) begin(ctx context.Context, owner string) (end func(steps int), err error) {
	release, got := s.turns.Acquire(ctx, owner, 1)
	if !got {
		return nil, surface.Busy("Too many events are being checked; try again")
	}
	if left := s.spend(owner, 0); left <= 0 {
		release()
		wait := time.Duration(float64(1-left) / checkRate * float64(time.Second))
		return nil, surface.RateLimited("The checks of events against their schemas take too long", checkRate, wait)
	}
	return func(steps int) {
		s.spend(owner, steps)
		release()
	}, nil
}

// spend takes steps from the owner's budget and returns what is left.
func (s *schemaChecks) spend(owner string, steps int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	b, found := s.budgets[owner]
	if !found {
		b = checkBudget{left: checkBurst, at: now}
	}
	b.left = min(checkBurst, b.left+int(now.Sub(b.at).Seconds()*checkRate)) - steps
	b.at = now
	switch {
	case b.left >= checkBurst:
		delete(s.budgets, owner)
	case found || len(s.budgets) < maxCheckBudgets:
		s.budgets[owner] = b
	}
	return b.left
}
