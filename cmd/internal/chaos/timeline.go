package chaos

import (
	"slices"
	"sync"
	"time"
)

// Fault is one thing that went wrong, from its beginning until the broken part was there again. Times are since the
// start of the load.
type Fault struct {
	Kind   string        `json:"kind"`
	Detail string        `json:"detail"`
	Start  time.Duration `json:"startNs"`
	End    time.Duration `json:"endNs"`
}

// timeline is the record of the faults, for all that have to be attributed to one.
type timeline struct {
	start time.Time
	mu    sync.Mutex
	list  []Fault
}

func (t *timeline) now() time.Duration { return time.Since(t.start) }

// add records a fault that began at start and is over now.
func (t *timeline) add(kind, detail string, start time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.list = append(t.list, Fault{Kind: kind, Detail: detail, Start: start, End: t.now()})
}

// faults is a copy, in the order in which they began.
func (t *timeline) faults() []Fault {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := slices.Clone(t.list)
	slices.SortFunc(list, func(a, b Fault) int { return int(a.Start - b.Start) })
	return list
}

// noFault is the cause of what happened while nothing was broken.
const noFault = "none"

// causeOf is the kind of the first fault that overlaps the period: what came later cannot have begun it. The faults
// are in the order in which they began.
func causeOf(faults []Fault, from, to time.Duration) string {
	for _, f := range faults {
		if f.Start < to && f.End > from {
			return f.Kind
		}
	}
	return noFault
}

// unbroken is how much of the period passed while no fault was in force.
func unbroken(faults []Fault, from, to time.Duration) time.Duration {
	left, at := time.Duration(0), from
	for _, f := range faults {
		if f.End <= at {
			continue
		}
		if f.Start >= to {
			break
		}
		left += max(f.Start-at, 0)
		at = f.End
	}
	return left + max(to-at, 0)
}

// lastEnd is when the last fault was over; 0 without faults.
func lastEnd(faults []Fault) (end time.Duration) {
	for _, f := range faults {
		end = max(end, f.End)
	}
	return end
}
