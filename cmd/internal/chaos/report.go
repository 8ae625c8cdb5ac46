package chaos

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// Report is the result of a run. Times are in seconds.
type Report struct {
	At        time.Time      `json:"at"`
	Version   string         `json:"version"` // of the program, with its commit
	Seed      uint64         `json:"seed"`
	Stores    string         `json:"stores"`
	APIs      int            `json:"apis"`
	Workers   int            `json:"workers"`
	Rate      float64        `json:"rate"`
	Settings  []string       `json:"settings"`
	TookS     float64        `json:"tookS"`
	Faults    int            `json:"faults"`
	Accepted  int            `json:"accepted"`
	Arrived   int            `json:"arrived"` // among the accepted events
	Refused   int64          `json:"refused"` // requests answered with an error
	Failed    int64          `json:"failed"`  // requests without a response
	Stored    int            `json:"storedWithoutAnswer"`
	Lost      int            `json:"lost"`
	Twice     int            `json:"twice"`     // arrivals after the first
	Split     int            `json:"split"`     // events stored twice under one Idempotency-Key
	SelfEnded int64          `json:"selfEnded"` // exits of processes without a fault; they were restarted
	Statuses  map[string]int `json:"statuses"`
	Explained map[string]int `json:"explained"` // accepted events that did not arrive, by known reason

	Unexplained      []Unexplained `json:"unexplained"` // the first of them
	UnexplainedCount int           `json:"unexplainedCount"`

	// Feed has a line for each reader of the feed. Circuits is what a webhook was told of changes of circuits. CatchUp is
	// what a webhook got that was registered during the faults and caught up. Order is what one with ordering got.
	Feed     []FeedCheck  `json:"feed"`
	Circuits WitnessCheck `json:"circuits"`
	CatchUp  WitnessCheck `json:"catchUp"`
	Order    OrderCheck   `json:"order"`

	Settled       bool    `json:"settled"`       // every delivery has ended
	SettledAfterS float64 `json:"settledAfterS"` // after the last fault, including retries and circuits
	FlowAfterS    float64 `json:"flowAfterS"`    // from the last fault to the first arrival of an event published after it
	// RecoveredS is the time from the last fault until all older events had arrived at the receivers without faults.
	RecoveredS float64 `json:"recoveredS"`

	Causes   []Cause   `json:"causes"`
	Silences []Silence `json:"silences"` // the longest, longest first
	Waits    []Wait    `json:"waits"`    // the longest, longest first
	Timeline []Fault   `json:"timeline"`
	Logs     string    `json:"logs,omitempty"`
}

// Cause is the effect of one kind of fault. Silence is the longest gap between arrivals that it caused, Wait the
// longest time from the acceptance to the arrival of an event at a receiver without faults.
type Cause struct {
	Kind      string  `json:"kind"`
	Faults    int     `json:"faults"`
	SilenceS  float64 `json:"silenceS"`
	UnbrokenS float64 `json:"unbrokenS"` // the longest part of such a gap without any fault
	WaitS     float64 `json:"waitS"`
	Over20S   int     `json:"over20S"` // events that waited for more than 20 s
	Twice     int     `json:"twice"`
}

// Silence is a gap between two arrivals at receivers without faults.
type Silence struct {
	Cause     string  `json:"cause"`
	FromS     float64 `json:"fromS"`
	Seconds   float64 `json:"seconds"`
	UnbrokenS float64 `json:"unbrokenS"`
}

// Wait is the time of an event from acceptance to arrival at a receiver without faults. UnbrokenS is its part without
// a fault of a store or process.
type Wait struct {
	Cause     string  `json:"cause"`
	Delivery  string  `json:"delivery"`
	FromS     float64 `json:"fromS"`
	Seconds   float64 `json:"seconds"`
	UnbrokenS float64 `json:"unbrokenS"`
	Attempts  int     `json:"attempts"`
}

const (
	listed   = 20 // silences, waits and unexplained events in a report
	longWait = 20.0
)

// Broken reports whether an event was lost, stored twice or is unexplained, or whether a witness saw less, more or in
// another order than what happened.
func (r *Report) Broken() bool {
	return r.Lost > 0 || r.UnexplainedCount > 0 || r.Split > 0 || r.Circuits.broken() || r.CatchUp.broken() ||
		r.Order.broken() ||
		slices.ContainsFunc(r.Feed, func(c FeedCheck) bool { return c.broken() })
}

func (r *Report) unexplained(u Unexplained) {
	r.UnexplainedCount++
	if len(r.Unexplained) < 5*listed {
		r.Unexplained = append(r.Unexplained, u)
	}
}

func newReport(r *run, entries []entry, faults []Fault, s settled) *Report {
	o := r.opts
	report := &Report{
		At:            r.started.UTC(),
		Version:       o.Version,
		Seed:          o.Seed,
		Stores:        "PostgreSQL, Temporal server on PostgreSQL",
		APIs:          o.APIs,
		Workers:       o.Workers,
		Rate:          o.Rate,
		Settings:      o.Settings,
		TookS:         r.timeline.now().Seconds(),
		Faults:        len(faults),
		Refused:       r.publisher.refused.Load(),
		Failed:        r.publisher.failed.Load(),
		SelfEnded:     r.fleet.selfEnded.Load(),
		Statuses:      map[string]int{},
		Explained:     map[string]int{},
		Settled:       s.all,
		SettledAfterS: s.after.Seconds(),
		Timeline:      faults,
	}
	if o.DevServer {
		report.Stores = "PostgreSQL, Temporal development server on SQLite"
	}
	for _, e := range entries {
		report.count(e)
	}
	f := figures{entries: entries, hooks: r.hooks, faults: faults, resent: r.operator.resent}
	report.FlowAfterS, report.RecoveredS = f.recovery()
	report.Silences, report.Waits = f.silences(), f.waits()
	report.Causes = f.causes(report.Silences, report.Waits)
	report.Silences = longest(report.Silences, func(s Silence) float64 { return s.Seconds })
	report.Waits = longest(report.Waits, func(w Wait) float64 { return w.Seconds })
	return report
}

func (r *Report) count(e entry) {
	switch {
	case e.accepted != 0 && e.arrived != 0:
		r.Accepted, r.Arrived = r.Accepted+1, r.Arrived+1
	case e.accepted != 0:
		r.Accepted++
	case e.arrived != 0:
		r.Stored++
	}
	r.Twice += len(e.again)
	if e.split {
		r.Split++
	}
}

func longest[T any](list []T, seconds func(T) float64) []T {
	slices.SortFunc(list, func(a, b T) int { return cmp.Compare(seconds(b), seconds(a)) })
	return list[:min(len(list), listed)]
}

func (r *Report) print(w io.Writer) {
	fmt.Fprintf(w, "\ngreenroom %s, seed %d: %d faults in %.0f s at %.0f events/s, %d APIs, %d workers, %s\n\n",
		r.Version, r.Seed, r.Faults, r.TookS, r.Rate, r.APIs, r.Workers, r.Stores)
	fmt.Fprintf(w, "accepted %d, lost %d, twice %d, unexplained %d\n",
		r.Accepted, r.Lost, r.Twice, r.UnexplainedCount)
	fmt.Fprintf(
		w,
		"arrived %d; stored although the response was lost %d; refused %d, without a response %d; deliveries%s\n",
		r.Arrived,
		r.Stored,
		r.Refused,
		r.Failed,
		listOf(r.Statuses),
	)
	if len(r.Explained) > 0 {
		fmt.Fprintf(w, "did not arrive, explained:%s\n", listOf(r.Explained))
	}
	fmt.Fprintf(
		w,
		"after the last fault: first arrival %.1f s, all older events arrived %.1f s, every delivery ended %.1f s\n",
		r.FlowAfterS,
		r.RecoveredS,
		r.SettledAfterS,
	)
	for _, c := range r.Feed {
		fmt.Fprintf(
			w,
			"feed (%s): %d events, missed %d, accepted but not stored %d, twice %d, out of order %d, gaps %d, ended %t\n",
			c.Reader,
			c.Events,
			c.Missed,
			c.Unaccepted,
			c.Twice,
			c.Disorder,
			len(c.Gaps),
			c.Ended,
		)
	}
	for _, c := range []struct {
		name  string
		check WitnessCheck
	}{{"changes of circuits", r.Circuits}, {"events of a webhook that caught up", r.CatchUp}} {
		fmt.Fprintf(w, "%s: %d, missing %d, too many %d, not arrived %d, canceled by the operator %d\n",
			c.name, c.check.Expected, c.check.Missing, c.check.Surplus, c.check.NotArrived, c.check.Canceled)
	}
	fmt.Fprintf(w, "order: %d events about %d subjects, inversions %d, without a number %d, not arrived %d, "+
		"canceled by the operator %d\n", r.Order.Expected, chaosSubjects, r.Order.Inversions, r.Order.Unnumbered,
		r.Order.NotArrived, r.Order.Canceled)
	fmt.Fprintf(w, "processes that exited without a fault: %d\n\n", r.SelfEnded)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "cause\tfaults\tlongest silence s\tof it unbroken s\tlongest wait s\twaits over 20 s\ttwice\t")
	for _, c := range r.Causes {
		fmt.Fprintf(
			t,
			"%s\t%d\t%.1f\t%.1f\t%.1f\t%d\t%d\t\n",
			c.Kind,
			c.Faults,
			c.SilenceS,
			c.UnbrokenS,
			c.WaitS,
			c.Over20S,
			c.Twice,
		)
	}
	_ = t.Flush() // the terminal is gone
	for _, u := range r.Unexplained[:min(len(r.Unexplained), listed)] {
		fmt.Fprintf(w, "\nunexplained: event %s %s (delivery %s, status %q, accepted at %.1f s, first fault %s): workflow %s",
			u.Event, u.Why, u.Delivery, u.Status, u.Accepted, u.Cause, u.Workflow)
	}
	if r.Logs != "" {
		fmt.Fprintf(w, "\n\nThe logs of all processes are in %s", r.Logs)
	}
	fmt.Fprintln(w)
}

func listOf(counts map[string]int) string {
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		fmt.Fprintf(&text, " %s %d,", name, counts[name])
	}
	return strings.TrimSuffix(text.String(), ",")
}

func (r *Report) write(opts Options) error {
	path := opts.JSON
	if path == "" {
		path = filepath.Join(opts.Dir, fmt.Sprintf("%s-%d.json", r.At.Format("20060102T150405Z"), r.Seed))
	}
	data, err := json.MarshalIndent(r, "", "  ")
	if err == nil {
		err = os.WriteFile(path, append(data, '\n'), 0o644) //nolint:gosec // figures are for everyone
	}
	if err != nil {
		return fmt.Errorf("write the result: %w", err)
	}
	fmt.Fprintf(opts.Out, "\nAll figures: %s\n", path)
	return nil
}
