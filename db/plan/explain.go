package plan

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"

	"greenroom/db"
)

// DB is a pool that knows what was sent through it. It is for one explanation at a time.
type DB struct {
	*bun.DB
	recorder *recorder
}

// Open returns a pool on a database that exists and is migrated. Its connections have the settings that db.Open gives to its own,
// those of the planner above all.
func Open(ctx context.Context, url string) (*DB, error) {
	cfg, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("parse database url: %w", err)
	}
	if err := copySettings(ctx, url, cfg.RuntimeParams); err != nil {
		return nil, err
	}
	r := &recorder{}
	cfg.Tracer = r
	return &DB{bun.NewDB(stdlib.OpenDB(*cfg), pgdialect.New()), r}, nil
}

func copySettings(ctx context.Context, url string, into map[string]string) error {
	d, err := db.Open(ctx, db.Options{URL: url, MaxConns: 1})
	if err != nil {
		return err
	}
	defer d.Close()
	var settings []struct{ Name, Setting string }
	err = d.NewRaw("SELECT name, setting FROM pg_settings WHERE source = 'session'").Scan(ctx, &settings)
	if err != nil {
		return fmt.Errorf("read settings: %w", err)
	}
	into["timezone"] = "UTC"
	for _, s := range settings {
		into[s.Name] = s.Setting
	}
	return nil
}

// Run is a use of package db. tx is rolled back; pool is for functions that take no transaction.
type Run func(ctx context.Context, tx bun.Tx, pool *bun.DB) error

// Explain runs a function in a transaction that is rolled back, and returns the plans of the statements that it sent, in order,
// from running them again in a second one, which is rolled back too. A statement with parameters is explained twice,
// planned with and without knowledge of its arguments.
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
	return d.explainSent(ctx, sent)
}

// ExplainUnsent is Explain for a function that writes through the pool: its first statement is held back, so that it has no effect
// but to be known, and the function gets an error.
func (d *DB) ExplainUnsent(ctx context.Context, fn Run) ([]Plan, error) {
	d.recorder.start(true)
	err := fn(ctx, bun.Tx{}, d.DB)
	sent := d.recorder.stop()
	if len(sent) == 0 {
		return nil, fmt.Errorf("explain what was not sent: %w", err)
	}
	return d.explainSent(ctx, sent)
}

func (d *DB) explainSent(ctx context.Context, sent []statement) ([]Plan, error) {
	plans, err := d.explainAll(ctx, sent, false)
	if err != nil {
		return nil, err
	}
	generic, err := d.explainAll(ctx, sent, true)
	return append(plans, generic...), err
}

// Rehearse runs fn in a transaction and rolls it back.
func (d *DB) Rehearse(ctx context.Context, fn func(ctx context.Context, tx bun.Tx) error) error {
	err := db.InTx(ctx, d, func(ctx context.Context, tx bun.Tx) error {
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

// explainAll runs all of them in one transaction, because one may see what the one before did. Of those without parameters
// there is no generic plan: they are then only run.
func (d *DB) explainAll(ctx context.Context, sent []statement, generic bool) (plans []Plan, err error) {
	err = d.Rehearse(ctx, func(ctx context.Context, tx bun.Tx) error {
		for _, s := range sent {
			explain := s.explain
			if generic && len(s.args) > 0 {
				explain = s.explainGeneric
			}
			out, err := explain(ctx, tx)
			if err != nil {
				return fmt.Errorf("explain %q: %w", s.head(), err)
			}
			if generic && len(s.args) == 0 {
				continue
			}
			p, err := parse(out)
			if err != nil {
				return err
			}
			p.SQL, p.Generic = s.sql, generic
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

func (s statement) head() string { return s.sql[:min(len(s.sql), 80)] }

const explainVerb = "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) "

func (s statement) explain(ctx context.Context, tx bun.Tx) (out []byte, err error) {
	err = tx.Tx.QueryRowContext(ctx, explainVerb+s.sql, s.args...).Scan(&out)
	return out, err
}

// explainGeneric prepares the statement to be planned without its arguments. EXPLAIN EXECUTE takes no parameters, so they become
// literals. All of it goes by the simple protocol: the driver shall not keep what is prepared here.
func (s statement) explainGeneric(ctx context.Context, tx bun.Tx) (out []byte, err error) {
	const name = "greenroom_explained"
	for _, sql := range []string{"SET LOCAL plan_cache_mode = force_generic_plan", "PREPARE " + name + " AS " + s.sql} {
		if _, err := tx.Tx.ExecContext(ctx, sql, pgx.QueryExecModeSimpleProtocol); err != nil {
			return nil, err
		}
	}
	literals, err := s.literals(ctx, tx, name)
	if err != nil {
		return nil, err
	}
	execute := explainVerb + "EXECUTE " + name + "(" + strings.Join(literals, ", ") + ")"
	if err := tx.Tx.QueryRowContext(ctx, execute, pgx.QueryExecModeSimpleProtocol).Scan(&out); err != nil {
		return nil, err
	}
	_, err = tx.Tx.ExecContext(ctx, "DEALLOCATE "+name, pgx.QueryExecModeSimpleProtocol)
	return out, err
}

// literals are the arguments as text of the prepared statement's types.
func (s statement) literals(ctx context.Context, tx bun.Tx, prepared string) ([]string, error) {
	var oids []uint32
	err := tx.NewRaw("SELECT unnest(parameter_types)::oid FROM pg_prepared_statements WHERE name = ?", prepared).Scan(ctx, &oids)
	if err != nil {
		return nil, err
	}
	if len(oids) != len(s.args) {
		return nil, fmt.Errorf("%d parameters, %d arguments", len(oids), len(s.args))
	}
	types, out := pgtype.NewMap(), make([]string, len(s.args))
	for i, arg := range s.args {
		text, err := types.Encode(oids[i], pgtype.TextFormatCode, arg, []byte{})
		if err != nil {
			return nil, err
		}
		out[i] = "NULL"
		if text != nil {
			out[i] = "'" + strings.ReplaceAll(string(text), "'", "''") + "'"
		}
	}
	return out, nil
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
	if r.on && explainable(q.SQL) {
		r.sent = append(r.sent, statement{sql: q.SQL, args: slices.DeleteFunc(slices.Clone(q.Args), isOption)})
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

// explainable leaves out transaction control and settings.
func explainable(sql string) bool {
	switch strings.ToUpper(strings.Fields(sql + " ;")[0]) {
	case "SELECT", "WITH", "INSERT", "UPDATE", "DELETE", "(SELECT":
		return true
	}
	return false
}
