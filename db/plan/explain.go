package plan

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"

	"greenroom/db/pg"
)

// DB is a pool that knows what was sent through it. It is for one explanation at a time.
type DB struct {
	*bun.DB
	recorder *recorder
}

// Open returns a pool on a database that exists and is migrated. What is sent through it is planned as through
// db.Open's: each time anew, with its arguments and the sizes that the tables have then.
func Open(url string) (*DB, error) {
	cfg, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("parse database url: %w", err)
	}
	r := &recorder{}
	cfg.Tracer, cfg.DefaultQueryExecMode = r, pgx.QueryExecModeExec
	cfg.RuntimeParams["timezone"] = "UTC"
	return &DB{bun.NewDB(stdlib.OpenDB(*cfg), pgdialect.New(), bun.WithDiscardUnknownColumns()), r}, nil
}

// Run is a use of package db. tx is rolled back; pool is for functions that take no transaction.
type Run func(ctx context.Context, tx bun.Tx, pool *bun.DB) error

// Explain runs a function in a transaction that is rolled back, and returns the plans of the statements that it sent,
// in order, from running them again in a second one, which is rolled back too. Both run with the settings that the
// function makes.
func (d *DB) Explain(ctx context.Context, fn Run) ([]Plan, error) {
	var sent []statement
	err := d.Rehearse(ctx, func(ctx context.Context, tx bun.Tx) error {
		d.recorder.start(false)
		err := fn(ctx, tx, d.DB)
		sent = d.recorder.stop()
		return err
	})
	if err != nil {
		return nil, err
	}
	return d.explainAll(ctx, sent)
}

// ExplainUnsent is Explain for a function that writes through the pool: its first statement is held back, so that it
// has no effect but to be known, and the function gets an error.
func (d *DB) ExplainUnsent(ctx context.Context, fn Run) ([]Plan, error) {
	d.recorder.start(true)
	err := fn(ctx, bun.Tx{}, d.DB)
	sent := d.recorder.stop()
	if len(sent) == 0 {
		return nil, fmt.Errorf("explain what was not sent: %w", err)
	}
	return d.explainAll(ctx, sent)
}

// Rehearse runs fn in a transaction and rolls it back.
func (d *DB) Rehearse(ctx context.Context, fn func(ctx context.Context, tx bun.Tx) error) error {
	err := pg.InTx(ctx, d, func(ctx context.Context, tx bun.Tx) error {
		if err := fn(ctx, tx); err != nil {
			return err
		}
		return errRehearsed
	})
	if errors.Is(err, errRehearsed) {
		return nil
	}
	return err
}

var errRehearsed = errors.New("rolled back on purpose")

// explainAll runs all of them in one transaction, because one may see what the one before did.
func (d *DB) explainAll(ctx context.Context, sent []statement) (plans []Plan, err error) {
	err = d.Rehearse(ctx, func(ctx context.Context, tx bun.Tx) error {
		for _, s := range sent {
			if s.verb() == "SET" {
				if _, err := tx.Tx.ExecContext(ctx, s.sql); err != nil {
					return fmt.Errorf("%s: %w", s.head(), err)
				}
				continue
			}
			out, err := s.explain(ctx, tx)
			if err != nil {
				return fmt.Errorf("explain %q: %w", s.head(), err)
			}
			p, err := parse(out)
			if err != nil {
				return err
			}
			p.SQL = s.sql
			plans = append(plans, p)
		}
		return nil
	})
	return plans, err
}

type statement struct {
	sql  string
	args []any
}

// verb is the statement's first word, in upper case.
func (s statement) verb() string { return strings.ToUpper(strings.Fields(s.sql + " ;")[0]) }

func (s statement) head() string { return s.sql[:min(len(s.sql), 80)] }

const explainVerb = "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) "

func (s statement) explain(ctx context.Context, tx bun.Tx) (out []byte, err error) {
	args := append([]any{pgx.QueryExecModeCacheDescribe}, s.args...)
	err = tx.Tx.QueryRowContext(ctx, explainVerb+s.sql, args...).Scan(&out)
	return out, err
}

// recorder is a pgx tracer that keeps statements while it is started.
type recorder struct {
	mu       sync.Mutex
	on, hold bool
	sent     []statement
}

// start keeps what is sent from now on; with hold it is not sent.
func (r *recorder) start(hold bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.on, r.hold, r.sent = true, hold, nil
}

func (r *recorder) stop() []statement {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.on, r.hold = false, false
	return r.sent
}

// TraceQueryStart implements pgx.QueryTracer.
func (r *recorder) TraceQueryStart(ctx context.Context, _ *pgx.Conn, q pgx.TraceQueryStartData) context.Context {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := (statement{sql: q.SQL, args: slices.DeleteFunc(slices.Clone(q.Args), isOption)}); r.on && s.isKept() {
		r.sent = append(r.sent, s)
		if r.hold {
			held, cancel := context.WithCancel(ctx)
			cancel()
			return held
		}
	}
	return ctx
}

// TraceQueryEnd implements pgx.QueryTracer.
func (r *recorder) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// isOption: the driver hands options to itself among the arguments.
func isOption(arg any) bool {
	switch arg.(type) {
	case pgx.QueryExecMode, pgx.QueryResultFormats, pgx.QueryResultFormatsByOID:
		return true
	}
	return false
}

// isKept leaves out transaction control. Settings are kept, because a plan follows them.
func (s statement) isKept() bool {
	switch s.verb() {
	case "SELECT", "WITH", "INSERT", "UPDATE", "DELETE", "(SELECT", "SET":
		return true
	}
	return false
}
