package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// Options configure a measurement. Program and Dir are required.
type Options struct {
	Program   string   // the greenroom to measure
	Version   string   // of that program, for the report
	Scenarios []string // names; empty: all but the long ones
	Minutes   int      // of soak and held-transaction; 0 is 10
	Runs      int      // of each scenario; the table shows medians. 0 is 1
	Quick     bool     // tiny loads to check that the benchmark works; the figures are meaningless
	Settings  []string // name=value, additional settings for API and worker
	Dir       string   // holds the data during the run, and the result; must be on a disk
	JSON      string   // file of the result; empty: Dir/<time>.json
	Profiles  string   // directory for CPU profiles of API and worker; empty: none

	DevServer bool // Temporal's development server instead of the full one: no build, but SQLite
	// DatabaseURL is a PostgreSQL server to use instead of starting one. The CPU time of both stores is then left out.
	DatabaseURL     string
	TemporalAddress string // a Temporal to use with it

	Out io.Writer // the table
	Log io.Writer // progress
}

// Names lists the scenarios in the order in which they run.
func Names() []string {
	list := make([]string, len(scenarios))
	for i, s := range scenarios {
		list[i] = s.name
	}
	return list
}

// Run starts the stores, measures every scenario Runs times, prints the table and
// writes the result. It always removes the processes and their data, also on an error.
func Run(ctx context.Context, opts Options) error {
	chosen, err := choose(opts.Scenarios)
	if err != nil {
		return err
	}
	for _, setting := range opts.Settings {
		if name, _, ok := strings.Cut(setting, "="); !ok || name == "" {
			return fmt.Errorf("a setting must have the form name=value, not %q: see greenroom help settings", setting)
		}
	}
	report := newReport(opts)
	if err := measureAll(ctx, opts, chosen, report); err != nil {
		return err
	}
	report.print(opts.Out)
	path, err := report.write(opts)
	if err != nil {
		return err
	}
	fmt.Fprintf(opts.Out, "\nAll figures: %s\n", path)
	return nil
}

func choose(names []string) ([]scenario, error) {
	var chosen []scenario
	if len(names) == 0 {
		return slices.DeleteFunc(slices.Clone(scenarios), func(s scenario) bool { return s.onRequest }), nil
	}
	for _, name := range names {
		i := slices.IndexFunc(scenarios, func(s scenario) bool { return s.name == name })
		if i < 0 {
			return nil, fmt.Errorf("there is no scenario %q: choose from %s", name, strings.Join(Names(), ", "))
		}
		chosen = append(chosen, scenarios[i])
	}
	return chosen, nil
}

func measureAll(ctx context.Context, opts Options, chosen []scenario, report *report) (err error) {
	stores, err := openStores(ctx, opts)
	if err != nil {
		return err
	}
	defer func() {
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopLimit)
		defer cancel()
		err = errors.Join(err, stores.close(stop))
	}()
	report.Machine.Postgres, err = stores.postgresVersion(ctx)
	if err != nil {
		return err
	}
	for run := 1; run <= max(opts.Runs, 1); run++ {
		for _, s := range chosen {
			result, err := measure(ctx, opts, stores, s, run)
			if err != nil {
				return fmt.Errorf("%s, run %d: %w", s.name, run, err)
			}
			report.add(result)
			fmt.Fprintln(opts.Log, result.line())
		}
	}
	return nil
}

// stopLimit bounds the shutdown of everything.
const stopLimit = time.Minute

// measure runs one trial of one scenario, on its own system.
func measure(ctx context.Context, opts Options, stores *stores, s scenario, run int) (result Result, err error) {
	sizes := sizesOf(opts.Quick)
	receiver, err := newReceiver(s.delay)
	if err != nil {
		return result, err
	}
	defer receiver.close()
	system, err := startSystem(ctx, opts, stores, fmt.Sprintf("%s-%d", s.name, run), s.processes)
	if err != nil {
		return result, err
	}
	defer func() {
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopLimit)
		defer cancel()
		err = errors.Join(err, system.close(stop))
	}()
	t := &trial{
		system:   system,
		receiver: receiver,
		sizes:    sizes,
		scenario: s,
		log:      opts.Log,
		soak:     soakTime(opts),
		result:   Result{Scenario: s.name, Run: run},
	}
	if err := t.register(ctx); err != nil {
		return result, err
	}
	if err := s.run(ctx, t); err != nil {
		return result, err
	}
	t.result.PeakMiB = system.peaks()
	if s.fan > 0 {
		eager, err := system.eagerShare(ctx)
		if err != nil {
			return result, err
		}
		t.result.figure("eager_share", eager)
	}
	return t.result, nil
}
