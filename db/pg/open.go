package pg

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"
)

// Options say how to reach the database.
type Options struct {
	// URL is a PostgreSQL connection string (postgres://user:password@host:port/name).
	URL string
	// MaxConns bounds the pool; 0 means 40.
	MaxConns int
	// Engine: the pool is for the statements of the delivery engine, which name each row that they touch.
	Engine bool
	// Trace: statements of sampled traces are spans.
	Trace bool
}

// Planner returns the settings with which PostgreSQL plans the pool's statements.
//
// The engine's statements run so often that planning them cost more than their execution. They find rows by index
// alone, so one plan suits all sizes of the tables: each connection plans such a statement once, without the
// statistics, which may date from a moment when a table was empty. Other statements are planned at each execution.
func (o Options) Planner() map[string]string {
	if !o.Engine {
		return map[string]string{"plan_cache_mode": "force_custom_plan"}
	}
	return map[string]string{
		"plan_cache_mode": "force_generic_plan",
		"enable_seqscan":  "off", "enable_hashjoin": "off", "enable_mergejoin": "off",
	}
}

// Open returns a pool on the database and proves that it answers. It does not migrate.
func Open(ctx context.Context, o Options) (*bun.DB, error) {
	cfg, err := pgx.ParseConfig(o.URL)
	if err != nil {
		return nil, fmt.Errorf("parse database url: %w", err)
	}
	if cfg.RuntimeParams["application_name"] == "" {
		cfg.RuntimeParams["application_name"] = "greenroom"
	}
	cfg.RuntimeParams["timezone"] = "UTC"
	maps.Copy(cfg.RuntimeParams, o.Planner())
	noticeFailures(cfg, o.URL)
	cfg.DefaultQueryExecMode = pgx.QueryExecModeExec // for Bun's statements; see Direct
	if o.Trace {
		cfg.Tracer = newTracer()
	}
	sqldb := stdlib.OpenDB(*cfg)
	if o.MaxConns == 0 {
		o.MaxConns = 40
	}
	sqldb.SetMaxOpenConns(o.MaxConns)
	sqldb.SetMaxIdleConns(o.MaxConns)
	sqldb.SetConnMaxIdleTime(5 * time.Minute)
	var mode string
	if err := sqldb.QueryRowContext(ctx, "SHOW plan_cache_mode").Scan(&mode); err != nil {
		_ = sqldb.Close()
		if RefusesParameters(err) {
			return nil, fmt.Errorf("reach database: a pooler refuses connection parameters; set in PgBouncer: "+
				"ignore_startup_parameters = %s: %w", strings.Join(startupParameters(), ", "), err)
		}
		return nil, fmt.Errorf("reach database: %w", err)
	}
	if mode != o.Planner()["plan_cache_mode"] {
		planEach.Store(true)
	}
	// A column that a newer version added must not stop this one while the two run side by side.
	return bun.NewDB(sqldb, dialect{pgdialect.New()}, bun.WithDiscardUnknownColumns()), nil
}

// RefusesParameters reports whether a pooler refused the connection because of a parameter that Open sets.
func RefusesParameters(err error) bool {
	var refused *pgconn.PgError
	return errors.As(err, &refused) && refused.Code == protocolViolation
}

// protocolViolation is what PgBouncer answers to a parameter that it does not know.
const protocolViolation = "08P01"

// startupParameters are the parameters of Open that a pooler must ignore.
func startupParameters() []string {
	planner := slices.Sorted(maps.Keys(Options{Engine: true}.Planner()))
	return append(planner, idleParameter, "tcp_user_timeout")
}

const idleParameter = "idle_in_transaction_session_timeout"

// idleInTransaction is how long the server lets a transaction stand still: a process that was stopped or cut off in
// the middle of one holds its row locks no longer. Transactions here call no other service but Temporal, whose calls
// end after 5 s.
const idleInTransaction = 15 * time.Second

// deadPeer is how long either side waits for the network to acknowledge what it sent, or for a sign of life.
const deadPeer = 15 * time.Second

// noticeFailures has both sides notice a dead peer, and passes over a server that a failover made read-only, where
// the URL does not say otherwise. A pooler in front of PostgreSQL may have to ignore these parameters.
func noticeFailures(cfg *pgx.ConnConfig, url string) {
	for name, value := range map[string]time.Duration{
		idleParameter: idleInTransaction, "tcp_user_timeout": deadPeer,
	} {
		if _, set := cfg.RuntimeParams[name]; !set {
			cfg.RuntimeParams[name] = strconv.FormatInt(value.Milliseconds(), 10)
		}
	}
	if !strings.Contains(url, "target_session_attrs") {
		cfg.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	}
	dialer := &net.Dialer{
		Timeout:         cfg.ConnectTimeout,
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: deadPeer / 3, Interval: deadPeer / 3, Count: 2},
	}
	cfg.DialFunc = dialer.DialContext
}
