package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"text/tabwriter"
	"time"
)

// report is the result of a run.
type report struct {
	At       time.Time `json:"at"`
	Version  string    `json:"version"` // of the measured program, with its commit
	Machine  machine   `json:"machine"`
	Stores   string    `json:"stores"`
	Settings []string  `json:"settings"`
	Quick    bool      `json:"quick"`
	Medians  []Result  `json:"medians"`
	Results  []Result  `json:"results"`
}

type machine struct {
	CPUs      int    `json:"cpus"`
	MemoryMiB int    `json:"memoryMiB"`
	System    string `json:"system"`
	Go        string `json:"go"`
	Postgres  string `json:"postgres"`
}

func newReport(opts Options) *report {
	memory, _ := kibField("/proc/meminfo", "MemTotal")
	r := &report{
		At:       time.Now().UTC(),
		Version:  opts.Version,
		Settings: opts.Settings,
		Quick:    opts.Quick,
		Machine: machine{
			CPUs:      runtime.NumCPU(),
			MemoryMiB: int(memory),
			System:    runtime.GOOS + "/" + runtime.GOARCH,
			Go:        runtime.Version(),
		},
	}
	switch {
	case opts.TemporalAddress != "":
		r.Stores = "given"
	case opts.DevServer:
		r.Stores = "PostgreSQL, Temporal development server on SQLite"
	default:
		r.Stores = "PostgreSQL, Temporal server on PostgreSQL with lean indexes"
	}
	return r
}

func (r *report) add(result Result) {
	r.Results = append(r.Results, result)
	r.Medians = medians(r.Results)
}

func (r *report) print(w io.Writer) {
	fmt.Fprintf(w, "\ngreenroom %s, %d CPUs, %d MiB, %s, %s, PostgreSQL %s\n%s\n",
		r.Version, r.Machine.CPUs, r.Machine.MemoryMiB, r.Machine.System, r.Machine.Go, r.Machine.Postgres, r.Stores)
	if len(r.Settings) > 0 {
		fmt.Fprintf(w, "settings: %s\n", strings.Join(r.Settings, " "))
	}
	if r.Quick {
		fmt.Fprintln(w, "a quick run: the figures are meaningless")
	}
	fmt.Fprintln(w, "latency in ms; CPU time in ms for each delivery; peak memory in MiB")
	fmt.Fprintln(w)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(
		t,
		"scenario\tevents\tpublished/s\tdelivered/s\tp50\tp95\tp99\tapi\tworker\ttemporal\tpostgres\tservers\tdriver\tapi "+
			"MiB\tworker MiB\tlost\ttwice\t",
	)
	for _, m := range r.Medians {
		printRow(t, m)
	}
	_ = t.Flush() // the terminal may be gone
	for _, m := range r.Medians {
		if len(m.Figures) > 0 || m.Refused > 0 {
			fmt.Fprintf(w, "\n%s: %d refused%s", m.Scenario, m.Refused, m.notes())
		}
	}
	fmt.Fprintln(w)
}

func printRow(w io.Writer, r Result) {
	p := r.ProcessorMS
	fmt.Fprintf(w, "%s\t%d\t%.0f\t%.0f\t%.1f\t%.1f\t%.1f\t%.2f\t%.2f\t%.2f\t%.2f\t%.2f\t%.2f\t%.0f\t%.0f\t%d\t%d\t\n",
		r.Scenario, r.Events, r.PublishedPerSecond, r.DeliveredPerSecond, r.P50, r.P95, r.P99,
		p[apiName], p[workerName], p[temporalName], p[postgresName], r.ServersMS, p[driverName],
		r.PeakMiB[apiName], r.PeakMiB[workerName], r.Lost, r.Duplicated)
}

func (r *report) write(opts Options) (string, error) {
	path := opts.JSON
	if path == "" {
		path = filepath.Join(opts.Dir, r.At.Format("20060102T150405Z")+".json")
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
