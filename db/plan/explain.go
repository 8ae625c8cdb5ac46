package plan

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"

	"greenroom/db/pg"
)

// DB is a pool that records the statements sent through it. It is not safe for concurrent explanations.
type DB struct {
	*bun.DB
	recorder *recorder
}

// Open returns a pool on an existing, migrated database, which plans statements as the pools of pg.Open do.
func Open(o pg.Options) (*DB, error) {
	cfg, err := pgx.ParseConfig(o.URL)
	if err != nil {
		return nil, fmt.Errorf("parse database url: %w", err)
	}
	maps.Copy(cfg.RuntimeParams, o.Planner())
	r := &recorder{}
	cfg.Tracer, cfg.DefaultQueryExecMode = r, pgx.QueryExecModeExec
	cfg.RuntimeParams["timezone"] = "UTC"
	return &DB{bun.NewDB(stdlib.OpenDB(*cfg), pgdialect.New(), bun.WithDiscardUnknownColumns()), r}, nil
}

// Run is one use of the database. tx is rolled back; pool is for functions that do not take a transaction.
type Run func(ctx context.Context, tx bun.Tx, pool *bun.DB) error

// Explain runs a function in a transaction and returns the plans of its statements, in order. It obtains them by
// running the statements again in a second transaction, with the settings that the function made. Both are rolled back.
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

// ExplainUnsent is Explain for a function that writes through the pool. Its first statement is recorded but not sent,
// and the function gets an error.
func (d *DB) ExplainUnsent(ctx context.Context, fn Run) ([]Plan, error) {
	d.recorder.start(true)
	err := fn(ctx, bun.Tx{}, d.DB)
	sent := d.recorder.stop()
	if len(sent) == 0 {
		return nil, fmt.Errorf("no statement was recorded: %w", err)
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

// explainAll runs all statements in one transaction, because a statement may depend on the previous ones.
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

// explain prepares a statement with parameters first, so that the plan is the one of the pool's plan_cache_mode. The
// arguments of EXECUTE are literals.
func (s statement) explain(ctx context.Context, tx bun.Tx) (out []byte, err error) {
	if len(s.args) == 0 {
		err = tx.Tx.QueryRowContext(ctx, explainVerb+s.sql, pgx.QueryExecModeExec).Scan(&out)
		return out, err
	}
	name := pgx.Identifier{"explained " + uuid.NewString()}.Sanitize()
	if _, err := tx.Tx.ExecContext(ctx, "PREPARE "+name+" AS "+s.sql, pgx.QueryExecModeSimpleProtocol); err != nil {
		return nil, err
	}
	values, err := s.literals(ctx, tx)
	if err != nil {
		return nil, err
	}
	execute := explainVerb + "EXECUTE " + name + " (" + strings.Join(values, ", ") + ")"
	if err := tx.Tx.QueryRowContext(ctx, execute, pgx.QueryExecModeSimpleProtocol).Scan(&out); err != nil {
		return nil, err
	}
	_, err = tx.Tx.ExecContext(ctx, "DEALLOCATE "+name)
	return out, err
}

// literals returns the arguments of the statement that was prepared last.
func (s statement) literals(ctx context.Context, tx bun.Tx) (values []string, err error) {
	rows, err := tx.Tx.QueryContext(ctx, `SELECT unnest(parameter_types)::oid::int FROM (
		SELECT parameter_types FROM pg_prepared_statements WHERE from_sql ORDER BY prepare_time DESC LIMIT 1) last`)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	types := pgtype.NewMap()
	for rows.Next() {
		var oid uint32
		if err := rows.Scan(&oid); err != nil {
			return nil, err
		}
		text, err := types.Encode(oid, pgtype.TextFormatCode, s.args[len(values)], nil)
		if err != nil {
			return nil, err
		}
		value := "NULL"
		if text != nil {
			value = "'" + strings.ReplaceAll(string(text), "'", "''") + "'"
		}
		values = append(values, value)
	}
	return values, rows.Err()
}

// recorder is a pgx tracer that records statements between start and stop.
type recorder struct {
	mu       sync.Mutex
	on, hold bool
	sent     []statement
}

// start begins recording. With hold, statements are canceled instead of sent.
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

// isOption reports whether an argument is one of the driver's own options, which bun passes among the arguments.
func isOption(arg any) bool {
	switch arg.(type) {
	case pgx.QueryExecMode, pgx.QueryResultFormats, pgx.QueryResultFormatsByOID:
		return true
	}
	return false
}

// isKept excludes transaction control. Settings are kept, because plans depend on them.
func (s statement) isKept() bool {
	switch s.verb() {
	case "SELECT", "WITH", "INSERT", "UPDATE", "DELETE", "(SELECT", "SET":
		return true
	}
	return false
}
