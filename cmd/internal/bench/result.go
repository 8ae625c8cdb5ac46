package bench

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Result is one trial, or the median of several. Latencies are in milliseconds from just before the POST of the event
// to its arrival at the receiver. CPU times are in milliseconds for each delivery (each event, if nothing is
// delivered), by process.
type Result struct {
	Scenario           string             `json:"scenario"`
	Run                int                `json:"run,omitempty"`
	Events             int                `json:"events"` // accepted
	Refused            int                `json:"refused"`
	Deliveries         int                `json:"deliveries"` // arrived, each once
	PublishedPerSecond float64            `json:"publishedPerSecond"`
	DeliveredPerSecond float64            `json:"deliveredPerSecond"`
	P50                float64            `json:"p50Ms"`
	P95                float64            `json:"p95Ms"`
	P99                float64            `json:"p99Ms"`
	ProcessorMS        map[string]float64 `json:"processorMs"`
	ServersMS          float64            `json:"serversMs"` // all processes except the driver
	PeakMiB            map[string]float64 `json:"peakMiB"`
	Lost               int                `json:"lost"`
	Duplicated         int                `json:"duplicated"`
	Figures            map[string]float64 `json:"figures,omitempty"` // of this scenario alone
}

// fill copies the counts and times of the tracker.
func (r *Result) fill(t *tracker) {
	r.Events, r.Refused = int(t.accepted.Load()), int(t.refused.Load())
	r.Deliveries, r.Duplicated, r.Lost = int(t.arrived.Load()), int(t.extra.Load()), t.missing()
	first := int64(0)
	if len(t.events) > 0 {
		first = t.events[0].sent.Load()
	}
	r.PublishedPerSecond = perSecond(r.Events, t.lastPost.Load()-first)
	r.DeliveredPerSecond = perSecond(r.Deliveries, t.last.Load()-first)
	ms := t.latencies()
	r.P50, r.P95, r.P99 = percentile(ms, 50), percentile(ms, 95), percentile(ms, 99)
}

func perSecond(n int, nanoseconds int64) float64 {
	if n == 0 || nanoseconds <= 0 {
		return 0
	}
	return float64(n) / time.Duration(nanoseconds).Seconds()
}

// charge divides the CPU time between two readings by the number of deliveries.
func (r *Result) charge(before, after map[string]time.Duration) {
	units := max(r.Deliveries, 1)
	if r.Deliveries == 0 {
		units = max(r.Events, 1)
	}
	r.ProcessorMS, r.ServersMS = map[string]float64{}, 0
	for name, used := range after {
		ms := float64(used-before[name]) / float64(time.Millisecond) / float64(units)
		r.ProcessorMS[name] = ms
		if name != driverName {
			r.ServersMS += ms
		}
	}
}

func (r *Result) figure(name string, value float64) {
	if r.Figures == nil {
		r.Figures = map[string]float64{}
	}
	r.Figures[name] = value
}

// line describes the result in one line.
func (r *Result) line() string {
	text := fmt.Sprintf(
		"%-14s run %d: %d events, %.0f delivered/s, p50 %.1f p99 %.1f ms, %.2f ms CPU, %d lost, %d twice",
		r.Scenario,
		r.Run,
		r.Events,
		r.DeliveredPerSecond,
		r.P50,
		r.P99,
		r.ServersMS,
		r.Lost,
		r.Duplicated,
	)
	if r.Refused > 0 {
		text += fmt.Sprintf(", %d refused", r.Refused)
	}
	return text + r.notes()
}

func (r *Result) notes() string {
	var notes strings.Builder
	for _, name := range slices.Sorted(maps.Keys(r.Figures)) {
		fmt.Fprintf(&notes, " %s=%.4g", name, r.Figures[name])
	}
	return notes.String()
}

// medians returns one result for each scenario, in the order of the first run: the median of each figure, but the worst
// of those that should be zero.
func medians(results []Result) []Result {
	var names []string
	byName := map[string][]Result{}
	for _, r := range results {
		if byName[r.Scenario] == nil {
			names = append(names, r.Scenario)
		}
		byName[r.Scenario] = append(byName[r.Scenario], r)
	}
	out := make([]Result, len(names))
	for i, name := range names {
		out[i] = medianOf(byName[name])
	}
	return out
}

func medianOf(rs []Result) Result {
	field := func(get func(Result) float64) float64 { return median(mapped(rs, get)) }
	worst := func(get func(Result) int) int { return slices.Max(mapped(rs, get)) }
	return Result{
		Scenario:           rs[0].Scenario,
		Events:             int(field(func(r Result) float64 { return float64(r.Events) })),
		Deliveries:         int(field(func(r Result) float64 { return float64(r.Deliveries) })),
		PublishedPerSecond: field(func(r Result) float64 { return r.PublishedPerSecond }),
		DeliveredPerSecond: field(func(r Result) float64 { return r.DeliveredPerSecond }),
		P50:                field(func(r Result) float64 { return r.P50 }),
		P95:                field(func(r Result) float64 { return r.P95 }),
		P99:                field(func(r Result) float64 { return r.P99 }),
		ServersMS:          field(func(r Result) float64 { return r.ServersMS }),
		ProcessorMS:        medianMap(mapped(rs, func(r Result) map[string]float64 { return r.ProcessorMS })),
		PeakMiB:            medianMap(mapped(rs, func(r Result) map[string]float64 { return r.PeakMiB })),
		Figures:            medianMap(mapped(rs, func(r Result) map[string]float64 { return r.Figures })),
		Refused:            worst(func(r Result) int { return r.Refused }),
		Lost:               worst(func(r Result) int { return r.Lost }),
		Duplicated:         worst(func(r Result) int { return r.Duplicated }),
	}
}

func mapped[S, T any](in []S, f func(S) T) []T {
	out := make([]T, len(in))
	for i, v := range in {
		out[i] = f(v)
	}
	return out
}

func median(values []float64) float64 {
	values = slices.Sorted(slices.Values(values))
	n := len(values)
	if n == 0 {
		return 0
	}
	return (values[(n-1)/2] + values[n/2]) / 2
}

func medianMap(all []map[string]float64) map[string]float64 {
	values := map[string][]float64{}
	for _, m := range all {
		for name, v := range m {
			values[name] = append(values[name], v)
		}
	}
	out := make(map[string]float64, len(values))
	for name, vs := range values {
		out[name] = median(vs)
	}
	return out
}
