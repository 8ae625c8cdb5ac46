package interviewsuite

import (
	"context"
	"sync"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"greenroom/api/surface"
	"greenroom/db"
)

// Uploads in progress, of each process: of one company, and of all. An upload to a bucket takes 5 MiB of memory.
const (
	uploadsTotal = 32
	uploadsEach  = 16
	// uploadsOfCandidate is for the answers to one interview.
	uploadsOfCandidate = 2
	uploadWait         = 5 * time.Second
)

// uploads bounds the uploads in progress.
type uploads struct {
	companies, candidates *surface.Shares

	mu      sync.Mutex
	pending map[uuid.UUID]int64 // announced bytes of each company's uploads
}

func newUploads() *uploads {
	return &uploads{
		companies:  surface.NewShares(uploadsTotal, uploadsEach, uploadWait),
		candidates: surface.NewShares(uploadsTotal, uploadsOfCandidate, uploadWait),
		pending:    map[uuid.UUID]int64{},
	}
}

var errUploads = surface.Busy("Too many uploads are in progress; try again")

func (u *uploads) ofCandidate(ctx context.Context, interview uuid.UUID) (end func(), err error) {
	end, got := u.candidates.Acquire(ctx, interview.String(), 1)
	if !got {
		return nil, errUploads
	}
	return end, nil
}

// announce adds bytes to a company's uploads in progress and returns their sum.
func (u *uploads) announce(company uuid.UUID, bytes int64) int64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.pending[company] += bytes; u.pending[company] == 0 {
		delete(u.pending, company)
	}
	return u.pending[company]
}

// admitUpload waits for the company's turn and refuses an upload that could exceed the company's quota. Uploads that
// are in progress count with their announced size, those to other processes not.
func (s *server) admitUpload(c *gin.Context, company uuid.UUID, p uploadPolicy) (end func(), err error) {
	release, got := s.uploads.companies.Acquire(c.Request.Context(), company.String(), 1)
	if !got {
		return nil, errUploads
	}
	size := p.limit
	if c.Request.ContentLength >= 0 {
		size = min(size, c.Request.ContentLength)
	}
	pending := s.uploads.announce(company, size)
	end = func() {
		s.uploads.announce(company, -size)
		release()
	}
	stored, err := db.MediaBytes(c.Request.Context(), s.DB, company)
	if err == nil && stored+pending > s.Quota.MediaBytes {
		err = surface.QuotaExceeded("bytes of files", s.Quota.MediaBytes)
	}
	if err != nil {
		end()
		return nil, err
	}
	return end, nil
}
