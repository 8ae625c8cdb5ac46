package chaos

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// figures computes the figures of a report from the records of a run.
type figures struct {
	entries []entry
	hooks   []*hook
	faults  []Fault
	resent  map[uuid.UUID]bool // deliveries that the operator reset
}

// recovery returns the time from the end of the last fault to the first arrival of an event accepted after it (flow),
// and to the last arrival of the events accepted before it (all).
func (f *figures) recovery() (flow, all float64) {
	end := lastEnd(f.faults)
	first, last := time.Duration(0), end
	for _, e := range f.entries {
		if !f.hooks[e.hook].robust || e.accepted == 0 || e.arrived == 0 {
			continue
		}
		if e.accepted >= end && (first == 0 || e.arrived < first) {
			first = e.arrived
		}
		if e.accepted < end {
			last = max(last, e.arrived)
		}
	}
	return max(first-end, 0).Seconds(), (last - end).Seconds()
}

// silences returns the gaps between arrivals at receivers that had no faults.
func (f *figures) silences() []Silence {
	var at []time.Duration
	for _, e := range f.entries {
		if f.hooks[e.hook].robust && e.arrived != 0 {
			at = append(at, e.arrived)
		}
	}
	slices.Sort(at)
	stops := stopping(f.faults)
	var gaps []Silence
	for i := 1; i < len(at); i++ {
		from, to := at[i-1], at[i]
		gaps = append(gaps, Silence{
			Cause: causeOf(
				stops,
				from,
				to,
			),
			FromS:     from.Seconds(),
			Seconds:   (to - from).Seconds(),
			UnbrokenS: unbroken(stops, from, to).Seconds(),
		})
	}
	return gaps
}

// waits returns the times from acceptance to arrival at such receivers.
func (f *figures) waits() []Wait {
	stops := stopping(f.faults)
	var waits []Wait
	for _, e := range f.entries {
		if !f.hooks[e.hook].robust || e.accepted == 0 || e.arrived == 0 {
			continue
		}
		from, to := e.accepted, max(e.arrived, e.accepted) // the API's response can be later than the arrival
		waits = append(waits, Wait{
			Cause: causeOf(
				f.faults,
				from-causeReach,
				to,
			),
			Delivery:  e.deliveryID,
			FromS:     from.Seconds(),
			Seconds:   (to - from).Seconds(),
			UnbrokenS: unbroken(stops, from, to).Seconds(),
			Attempts:  e.attempts,
		})
	}
	return waits
}

// causes summarizes by kind of fault, the longest wait first.
func (f *figures) causes(silences []Silence, waits []Wait) []Cause {
	byKind := map[string]*Cause{}
	of := func(kind string) *Cause {
		if byKind[kind] == nil {
			byKind[kind] = &Cause{Kind: kind}
		}
		return byKind[kind]
	}
	for _, fault := range f.faults {
		of(fault.Kind).Faults++
	}
	for _, s := range silences {
		c := of(s.Cause)
		c.SilenceS, c.UnbrokenS = max(c.SilenceS, s.Seconds), max(c.UnbrokenS, s.UnbrokenS)
	}
	for _, w := range waits {
		c := of(w.Cause)
		c.WaitS = max(c.WaitS, w.Seconds)
		if w.Seconds > longWait {
			c.Over20S++
		}
	}
	for _, e := range f.entries {
		for _, at := range e.again {
			of(f.causeOfCopy(e, at)).Twice++
		}
	}
	var list []Cause
	for _, c := range byKind {
		list = append(list, *c)
	}
	slices.SortFunc(list, func(a, b Cause) int {
		return cmp.Or(cmp.Compare(b.WaitS, a.WaitS), cmp.Compare(b.SilenceS, a.SilenceS), strings.Compare(a.Kind, b.Kind))
	})
	return list
}

// resetKind is the cause of a duplicate after an operator's Reset.
const resetKind = "operator-reset"

// causeOfCopy returns the cause of a duplicate.
func (f *figures) causeOfCopy(e entry, again time.Duration) string {
	if id, err := uuid.Parse(e.deliveryID); err == nil && f.resent[id] {
		return resetKind
	}
	faults := f.faults
	if f.hooks[e.hook].robust {
		faults = slices.DeleteFunc(slices.Clone(faults), func(f Fault) bool { return strings.HasPrefix(f.Kind, "receiver-") })
	}
	return causeOf(faults, e.arrived-causeReach, again)
}

// stopping returns the faults that can stop all deliveries, so not those of one receiver or one workflow.
func stopping(faults []Fault) []Fault {
	return slices.DeleteFunc(slices.Clone(faults), func(f Fault) bool {
		part, _, _ := strings.Cut(f.Kind, "-")
		return !slices.Contains([]string{"api", "worker", "temporal", "postgres", "all"}, part)
	})
}
