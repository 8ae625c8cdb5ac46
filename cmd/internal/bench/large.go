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

// LargeOptions configure RunLarge. Dir is required.
type LargeOptions struct {
	Rows    int    // deliveries
	Backlog int    // waiting deliveries in the cases with a backlog; 0 is 100,000
	Version string // for the report
	Dir     string // holds the data (about 1.3 KiB per delivery) and the result; must be on a disk
	JSON    string // file of the result; empty: Dir/large-<time>.json

	DatabaseURL string // a PostgreSQL server to use instead of starting one

	Out io.Writer // the table
	Log io.Writer // progress
}

// largeSize is the shape of a data set with any number of rows. Days, companies and webhooks are the same in the small
// and the large data set, so that they differ only in the number of rows.
func largeSize(rows int) plan.Size {
	return plan.Size{Deliveries: rows, Days: 30, Companies: 50, Webhooks: 200, Parallel: 2}
}

const (
	// smallShare means that the small data set has a hundredth of the rows.
	smallShare = 100
	// largeBacklog is the length of the queue in the cases with a backlog.
	largeBacklog = 100_000
	leastRows    = 30_000
)

// RunLarge generates two data sets, a small one and one of opts.Rows deliveries. In both it measures the statements
// that API and workers execute constantly. It prints the table, writes the result and removes the data.
func RunLarge(ctx context.Context, opts LargeOptions) (err error) {
	if opts.Rows < leastRows {
		return fmt.Errorf("--rows must be at least %d: a thousand for each of 30 days", leastRows)
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

// largeServer starts a PostgreSQL server, unless opts has one.
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

// measurePast creates a database with that many deliveries, measures it and drops it.
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
	show, stop := largeBar(opts.Log, fmt.Sprintf("generate %d deliveries", rows), rows)
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
