package inflight

import (
	"sync"

	"github.com/google/uuid"
)

// Shares divides places among companies, as Endpoints does: one company alone gets three quarters, so some are always
// free for another one.
type Shares struct {
	mu   sync.Mutex
	pool *pool
}

// NewShares returns that many places.
func NewShares(places int) *Shares { return &Shares{pool: newPool(places)} }

// Take takes a place for a company, which must Put it back. False: the company has its share, or none is free.
func (s *Shares) Take(company uuid.UUID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.pool.has(company) {
		return false
	}
	s.pool.take(company)
	return true
}

// Put ends what Take began.
func (s *Shares) Put(company uuid.UUID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pool.put(company)
}
