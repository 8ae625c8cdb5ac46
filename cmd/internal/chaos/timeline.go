package chaos

import (
	"slices"
	"sync"
	"time"
)

// Fault is a fault from its start until the broken part worked again. Times are since the
// start of the load.
type Fault struct {
	Kind   string        `json:"kind"`
	Detail string        `json:"detail"`
	Start  time.Duration `json:"startNs"`
	End    time.Duration `json:"endNs"`
}

// timeline records the faults.
type timeline struct {
	start time.Time
	mu    sync.Mutex
	list  []Fault
}

func (t *timeline) now() time.Duration { return time.Since(t.start) }

// add records a fault that began at start and ends now.
func (t *timeline) add(kind, detail string, start time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.list = append(t.list, Fault{Kind: kind, Detail: detail, Start: start, End: t.now()})
}

// faults returns a copy, in the order of their starts.
func (t *timeline) faults() []Fault {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := slices.Clone(t.list)
	slices.SortFunc(list, func(a, b Fault) int { return int(a.Start - b.Start) })
	return list
}

// noFault is the cause when no fault was in force.
const noFault = "none"

// causeOf returns the kind of the first fault that overlaps the period, since a later one cannot have caused it. faults
// must be in the order of their starts.
func causeOf(faults []Fault, from, to time.Duration) string {
	for _, f := range faults {
		if f.Start < to && f.End > from {
			return f.Kind
		}
	}
	return noFault
}

// unbroken returns how much of the period had no fault in force.
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

// lastEnd returns the end of the last fault, or 0 without faults.
func lastEnd(faults []Fault) (end time.Duration) {
	for _, f := range faults {
		end = max(end, f.End)
	}
	return end
}
