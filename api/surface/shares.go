package surface

import (
	"context"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
)

// Shares bounds a resource that concurrent requests use, such as memory: for all of them together, and for each owner,
// so that one company cannot use what all companies need.
type Shares struct {
	all  *semaphore.Weighted
	each int64
	wait time.Duration

	mu     sync.Mutex
	owners map[string]*share
}

// share is one owner's part. It exists while requests of the owner use it or wait for it.
type share struct {
	*semaphore.Weighted
	users int
}

// NewShares returns shares of total, of which one owner gets at most each. wait is how long Acquire waits.
func NewShares(total, each int64, wait time.Duration) *Shares {
	return &Shares{all: semaphore.NewWeighted(total), each: each, wait: wait, owners: map[string]*share{}}
}

// Acquire takes n for the owner; a request for more than an owner's share takes the whole share. Requests of one owner
// wait in their order. It reports whether it got n in time; then release must be called, once.
func (s *Shares) Acquire(ctx context.Context, owner string, n int64) (release func(), got bool) {
	n = min(n, s.each)
	own := s.enter(owner)
	ctx, cancel := context.WithTimeout(ctx, s.wait)
	defer cancel()
	if own.Acquire(ctx, n) != nil {
		s.leave(owner, own)
		return nil, false
	}
	if s.all.Acquire(ctx, n) != nil { // after the owner's: a waiting owner holds nothing of the others
		own.Release(n)
		s.leave(owner, own)
		return nil, false
	}
	return func() {
		s.all.Release(n)
		own.Release(n)
		s.leave(owner, own)
	}, true
}

func (s *Shares) enter(owner string) *share {
	s.mu.Lock()
	defer s.mu.Unlock()
	own := s.owners[owner]
	if own == nil {
		own = &share{Weighted: semaphore.NewWeighted(s.each)}
		s.owners[owner] = own
	}
	own.users++
	return own
}

func (s *Shares) leave(owner string, own *share) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if own.users--; own.users == 0 {
		delete(s.owners, owner)
	}
}

// Busy refuses a request because the server has no capacity for it at the moment; the message says of what. The answer
// has a Retry-After.
func Busy(message string) *Error {
	return &Error{Status: http.StatusServiceUnavailable, Code: CodeUnavailable, Message: message}
}
