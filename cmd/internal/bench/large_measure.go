package bench

import (
	"context"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"greenroom/db/pg"
	"greenroom/db/plan"
)

const (
	// caseRuns is the number of timed runs of a case. One run comes before them, so that the pages are in memory as in a
	// busy system.
	caseRuns = 15
	// caseLimit ends the runs of a slow case.
	caseLimit = 3 * time.Second
)

// LargePast has the figures of one data set.
type LargePast struct {
	Deliveries   int         `json:"deliveries"`
	BuildSeconds float64     `json:"buildSeconds"`
	MiB          float64     `json:"mib"`
	Cases        []LargeCase `json:"cases"`
}

// LargeCase has the figures of one use of the database, summed over its statements.
type LargeCase struct {
	Name        string  `json:"name"`
	FirstMS     float64 `json:"firstMs"`  // the first run, which reads pages from the disk or the system's cache
	MedianMS    float64 `json:"medianMs"` // of the later runs, as the caller sees them, without the commit
	PlanningMS  float64 `json:"planningMs"`
	ExecutionMS float64 `json:"executionMs"`
	Buffers     int64   `json:"buffers"`
	Rows        float64 `json:"rows"` // read, whether or not a filter kept them
	// Partitions of deliveries, attempts and events that were read.
	Partitions [3]int `json:"partitions"`
	SeqScans   int    `json:"seqScans"` // of tables that grow
}

func measureCases(
	ctx context.Context,
	opts LargeOptions,
	address string,
	d *bun.DB,
	past *plan.Past,
) (out []LargeCase, err error) {
	traced, err := plan.Open(pg.Options{URL: address})
	if err != nil {
		return nil, err
	}
	defer traced.Close()
	cases := past.Cases(opts.Backlog)
	show, stop := largeBar(opts.Log, "measure", len(cases))
	defer stop()
	for i, c := range cases {
		if err := past.Ready(ctx, d, c); err != nil {
			return nil, err
		}
		m, err := measureCase(ctx, traced, c)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.Name, err)
		}
		out = append(out, m)
		show(i + 1)
	}
	return out, nil
}

func measureCase(ctx context.Context, d *plan.DB, c plan.Case) (m LargeCase, err error) {
	m.Name = c.Name
	if m.FirstMS, err = timeCase(ctx, d, c); err != nil {
		return m, err
	}
	var times []float64
	for start := time.Now(); len(times) < caseRuns && time.Since(start) < caseLimit; {
		ms, err := timeCase(ctx, d, c)
		if err != nil {
			return m, err
		}
		times = append(times, ms)
	}
	m.MedianMS = median(times)
	plans, err := c.Explain(ctx, d)
	if err != nil {
		return m, err
	}
	for _, p := range plans {
		m.add(p)
	}
	return m, nil
}

// timeCase runs a case in a transaction that is rolled back. The time excludes the transaction's begin and rollback.
func timeCase(ctx context.Context, d *plan.DB, c plan.Case) (ms float64, err error) {
	err = d.Rehearse(ctx, func(ctx context.Context, tx bun.Tx) error {
		start := time.Now()
		err := c.Run(ctx, tx, d.DB)
		ms = float64(time.Since(start)) / float64(time.Millisecond)
		return err
	})
	return ms, err
}

func (m *LargeCase) add(p plan.Plan) {
	m.PlanningMS += p.PlanningMS
	m.ExecutionMS += p.ExecutionMS
	m.Buffers += p.Buffers
	m.Rows += p.Rows()
	for i, table := range []string{"deliveries", "attempts", "events"} {
		m.Partitions[i] = max(m.Partitions[i], p.Partitions(table))
	}
	for _, table := range p.SeqScans() {
		if plan.Grows(table) {
			m.SeqScans++
		}
	}
}
