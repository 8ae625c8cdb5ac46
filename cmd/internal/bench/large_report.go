package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

type largeReport struct {
	At      time.Time   `json:"at"`
	Version string      `json:"version"`
	Machine machine     `json:"machine"`
	Pasts   []LargePast `json:"pasts"` // the small and the large data set
}

func newLargeReport(opts LargeOptions) *largeReport {
	r := newReport(Options{Version: opts.Version})
	return &largeReport{At: r.At, Version: r.Version, Machine: r.Machine}
}

func (r *largeReport) print(w io.Writer) {
	fmt.Fprintf(
		w,
		"\ngreenroom %s, %d CPUs, %d MiB, %s, %s\n",
		r.Version,
		r.Machine.CPUs,
		r.Machine.MemoryMiB,
		r.Machine.System,
		r.Machine.Go,
	)
	for _, p := range r.Pasts {
		fmt.Fprintf(w, "%d deliveries over 30 days: generated in %.0f s, %.0f MiB\n", p.Deliveries, p.BuildSeconds, p.MiB)
	}
	fmt.Fprintln(
		w,
		"medians in ms, planning included; buffers are pages of 8 KiB; partitions read of deliveries, attempts, events;",
	)
	fmt.Fprintln(w, "“seq” counts tables and partitions that were read from end to end")
	fmt.Fprintln(w)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(
		t,
		"case\tms, small\tms, large\tplanning\tfirst\tbuffers, small\tlarge\trows, small\tlarge\tpartitions\tseq\t\n",
	)
	small, large := r.Pasts[0].Cases, r.Pasts[1].Cases
	for i, l := range large {
		s := small[i]
		fmt.Fprintf(
			t,
			"%s\t%.2f\t%.2f\t%.2f\t%.1f\t%d\t%d\t%.0f\t%.0f\t%d %d %d\t%d\t\n",
			l.Name,
			s.MedianMS,
			l.MedianMS,
			l.PlanningMS,
			l.FirstMS,
			s.Buffers,
			l.Buffers,
			s.Rows,
			l.Rows,
			l.Partitions[0],
			l.Partitions[1],
			l.Partitions[2],
			l.SeqScans,
		)
	}
	_ = t.Flush() // the terminal may be gone
}

func (r *largeReport) write(opts LargeOptions) (string, error) {
	path := opts.JSON
	if path == "" {
		path = filepath.Join(opts.Dir, "large-"+r.At.Format("20060102T150405Z")+".json")
	}
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return "", fmt.Errorf("write the result: %w", err)
	}
	if err := os.WriteFile(path, append(data, '\n'), 0o644); err != nil { //nolint:gosec // figures are for everyone
		return "", fmt.Errorf("write the result: %w", err)
	}
	return path, nil
}

// largeBar draws a progress bar until stop is called. Without a terminal, stop prints one line.
func largeBar(log io.Writer, what string, total int) (show func(int), stop func()) {
	file, ok := log.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		start := time.Now()
		return func(int) {}, func() { fmt.Fprintf(log, "%s: %.1f s\n", what, time.Since(start).Seconds()) }
	}
	bar := progressbar.NewOptions(
		total,
		progressbar.OptionSetWriter(file),
		progressbar.OptionSetDescription(what),
		progressbar.OptionShowCount(),
		progressbar.OptionSetPredictTime(true),
		progressbar.OptionSetWidth(24),
		progressbar.OptionClearOnFinish(),
	)
	// The terminal may be gone; the run continues.
	return func(n int) { _ = bar.Set(n) }, func() { _ = bar.Finish() }
}
