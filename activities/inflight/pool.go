package inflight

import "github.com/google/uuid"

// pool divides places among companies: those of the process, or those of one target host. A company may take a place
// while it has less than greed times as many as are free. So one company alone gets greed/(greed+1) of the places, n
// busy companies get equal shares, and some places are always free for another company. This is the dynamic threshold
// of shared packet buffers (Choudhury and Hahne, 1998): it needs neither the number of companies nor their demand.
type pool struct {
	size, used int
	of         map[uuid.UUID]int // by company
	// blocked are the endpoints whose waiting attempts this pool refused a place, the longest blocked first.
	blocked []*endpoint
}

// greed 3: one company alone gets three quarters, two get three sevenths each.
const greed = 3

func newPool(size int) *pool { return &pool{size: size, of: map[uuid.UUID]int{}} }

// has reports whether a company may take a place.
func (p *pool) has(company uuid.UUID) bool {
	return p.of[company] < greed*(p.size-p.used)
}

func (p *pool) take(company uuid.UUID) {
	p.used++
	p.of[company]++
}

func (p *pool) put(company uuid.UUID) {
	p.used--
	if p.of[company]--; p.of[company] == 0 {
		delete(p.of, company)
	}
}

func (p *pool) idle() bool { return p.used == 0 && len(p.blocked) == 0 }
