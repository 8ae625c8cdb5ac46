package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"greenroom/cmd/internal/devstack"
	"greenroom/cmd/internal/testbed"
	"greenroom/db"
	"greenroom/db/pg"
	"greenroom/db/plan"
)

// LargeOptions say how large a past to measure and where. Dir is required.
type LargeOptions struct {
	Rows    int    // deliveries
	Backlog int    // deliveries that wait in the cases where many do; 0 is 100,000
	Version string // for the report
	Dir     string // on a disk: holds the data while it runs (some 1.3 KiB for each delivery), and the result
	JSON    string // file of the result; empty: Dir/large-<time>.json

	DatabaseURL string // a PostgreSQL server to use instead of starting one

	Out io.Writer // the table
	Log io.Writer // progress
}

// largeSize is the shape of the past at any number of rows: days, companies and webhooks are the same in the small
// one that the large one is compared with, so that the number of rows is all that differs.
func largeSize(rows int) plan.Size {
	return plan.Size{Deliveries: rows, Days: 30, Companies: 50, Webhooks: 200, Parallel: 2}
}

const (
	// smallShare: the small past is a hundredth of the large one.
	smallShare = 100
	// largeBacklog is the queue of the cases where many wait.
	largeBacklog = 100_000
	leastRows    = 30_000
)

// RunLarge makes up two pasts, a small one and one of opts.Rows deliveries, measures in both what the API and the
// workers ask of the database all the time, prints the table and writes the result. The data is removed again.
func RunLarge(ctx context.Context, opts LargeOptions) (err error) {
	if opts.Rows < leastRows {
		return fmt.Errorf("--rows must be %d at least: a thousand for each of 30 days", leastRows)
	}
	if opts.Backlog == 0 {
		opts.Backlog = largeBacklog
	}
	server, stop, err := largeServer(ctx, opts)
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopLimit)
		defer cancel()
		err = errors.Join(err, stop(ctx))
	}()
	report := newLargeReport(opts)
	for _, rows := range []int{max(opts.Rows/smallShare, leastRows/10), opts.Rows} {
		past, err := measurePast(ctx, opts, server, rows)
		if err != nil {
			return fmt.Errorf("%d deliveries: %w", rows, err)
		}
		report.Pasts = append(report.Pasts, past)
	}
	report.print(opts.Out)
	path, err := report.write(opts)
	if err != nil {
		return err
	}
	fmt.Fprintf(opts.Out, "\nAll figures: %s\n", path)
	return nil
}

// largeServer starts a PostgreSQL of its own, as `greenroom bench` does, or takes the given one.
func largeServer(ctx context.Context, opts LargeOptions) (address string, stop func(context.Context) error, err error) {
	if opts.DatabaseURL != "" {
		return opts.DatabaseURL, func(context.Context) error { return nil }, nil
	}
	dir, err := testbed.NewWorkDir(opts.Dir)
	if err != nil {
		return "", nil, err
	}
	postgres, err := devstack.StartPostgres(ctx, devstack.PostgresOptions{Dir: dir, Log: opts.Log})
	if err != nil {
		return "", nil, errors.Join(err, devstack.Remove(dir))
	}
	return postgres.URL(), func(ctx context.Context) error {
		return errors.Join(postgres.Stop(ctx), devstack.Remove(dir))
	}, nil
}

// measurePast makes a database with that many deliveries, measures and drops it.
func measurePast(ctx context.Context, opts LargeOptions, server string, rows int) (past LargePast, err error) {
	u, err := url.Parse(server)
	if err != nil {
		return past, fmt.Errorf("read the database's address: %w", err)
	}
	admin, err := pg.Open(ctx, pg.Options{URL: server, MaxConns: 2})
	if err != nil {
		return past, err
	}
	defer admin.Close()
	name := "large_" + strings.ReplaceAll(pg.NewID().String(), "-", "")
	if _, err := admin.ExecContext(ctx, "CREATE DATABASE ?", bun.Ident(name)); err != nil {
		return past, fmt.Errorf("create a database: %w", err)
	}
	defer func() {
		_, dropped := admin.ExecContext(context.WithoutCancel(ctx), "DROP DATABASE ? WITH (FORCE)", bun.Ident(name))
		err = errors.Join(err, dropped)
	}()
	u.Path = "/" + name
	return buildAndMeasure(ctx, opts, u.String(), rows)
}

func buildAndMeasure(ctx context.Context, opts LargeOptions, address string, rows int) (past LargePast, err error) {
	d, err := pg.Open(ctx, pg.Options{URL: address, MaxConns: 4})
	if err != nil {
		return past, err
	}
	defer d.Close()
	if _, err := db.Migrate(ctx, d); err != nil {
		return past, err
	}
	show, stop := largeBar(opts.Log, fmt.Sprintf("make up %d deliveries", rows), rows)
	start := time.Now()
	made, err := plan.Fill(ctx, d, largeSize(rows), show)
	stop()
	if err != nil {
		return past, err
	}
	past = LargePast{Deliveries: rows, BuildSeconds: time.Since(start).Seconds()}
	err = d.NewRaw("SELECT pg_database_size(current_database()) / 1048576.0").Scan(ctx, &past.MiB)
	if err != nil {
		return past, fmt.Errorf("measure the database: %w", err)
	}
	past.Cases, err = measureCases(ctx, opts, address, d, made)
	return past, err
}
