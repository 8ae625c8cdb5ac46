// Package db is rows in, rows out: one file per table, its model first, then its queries. It knows neither gin nor Temporal.
//
// The database is the arbiter of every state: a change of state is one guarded statement (… WHERE status = 'SCHEDULED') and
// the event it causes, the deliveries of that event and the commands to workflows are written in the same transaction. A
// function that must not be called outside a transaction takes a bun.Tx; one that may run anywhere takes a bun.IDB.
package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"
	"github.com/uptrace/bun/migrate"

	"greenroom/db/migrations"
)

// Options say how to reach the database.
type Options struct {
	// URL is a PostgreSQL connection string (postgres://user:password@host:port/name).
	URL string
	// MaxConns bounds the pool; 0 means 40.
	MaxConns int
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
	noticeFailures(cfg, o.URL)
	cfg.DefaultQueryExecMode = pgx.QueryExecModeExec // for Bun's statements; see direct
	sqldb := stdlib.OpenDB(*cfg)
	if o.MaxConns == 0 {
		o.MaxConns = 40
	}
	sqldb.SetMaxOpenConns(o.MaxConns)
	sqldb.SetMaxIdleConns(o.MaxConns)
	sqldb.SetConnMaxIdleTime(5 * time.Minute)
	if err := sqldb.PingContext(ctx); err != nil {
		_ = sqldb.Close()
		return nil, fmt.Errorf("reach database: %w", err)
	}
	// A column that a newer version added must not stop this one while the two run side by side.
	return bun.NewDB(sqldb, pgdialect.New(), bun.WithDiscardUnknownColumns()), nil
}

// idleInTransaction is how long the server lets a transaction stand still: a process that was stopped or cut off in the middle
// of one holds its row locks no longer. Transactions here call no other service but Temporal, whose calls end after 5 s.
const idleInTransaction = 15 * time.Second

// deadPeer is how long either side waits for the network to acknowledge what it sent, or for a sign of life.
const deadPeer = 15 * time.Second

// noticeFailures has both sides notice a dead peer, and passes over a server that a failover made read-only, where the URL
// does not say otherwise. A pooler in front of PostgreSQL may have to ignore these parameters.
func noticeFailures(cfg *pgx.ConnConfig, url string) {
	for name, value := range map[string]time.Duration{
		"idle_in_transaction_session_timeout": idleInTransaction, "tcp_user_timeout": deadPeer,
	} {
		if _, set := cfg.RuntimeParams[name]; !set {
			cfg.RuntimeParams[name] = strconv.FormatInt(value.Milliseconds(), 10)
		}
	}
	if !strings.Contains(url, "target_session_attrs") {
		cfg.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	}
	dialer := &net.Dialer{Timeout: cfg.ConnectTimeout, KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: deadPeer / 3, Interval: deadPeer / 3, Count: 2}}
	cfg.DialFunc = dialer.DialContext
}

// direct is the same connection or transaction without Bun. Bun writes arguments into the statement's text, so each text is
// new to PostgreSQL and the driver must not keep it prepared: a connection would hold hundreds of them. What goes through
// here has parameters. The driver keeps its description but PostgreSQL plans it anew each time, with the values and the sizes
// that the tables have then. A kept plan is cheaper by less than a millisecond and fails when a table or a day's partition
// was empty when it was made; and a plan for known ids reads the partitions of their days alone.
func direct(db bun.IDB) directly {
	switch db := db.(type) {
	case *bun.DB:
		return directly{db.DB}
	case bun.Tx:
		return directly{db.Tx}
	case bun.Conn:
		return directly{db.Conn}
	}
	panic(fmt.Sprintf("db: %T hides the connection", db)) // what Bun would make of the parameters is wrong
}

type directly struct {
	conn interface {
		QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
		QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
		ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	}
}

func planned(args []any) []any { return append([]any{pgx.QueryExecModeCacheDescribe}, args...) }

func (d directly) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	return d.conn.QueryContext(ctx, query, planned(args)...)
}

func (d directly) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	return d.conn.QueryRowContext(ctx, query, planned(args)...)
}

func (d directly) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	return d.conn.ExecContext(ctx, query, planned(args)...)
}

// InTx runs fn in one transaction: committed when fn returns nil, rolled back otherwise.
func InTx(ctx context.Context, db bun.IDB, fn func(ctx context.Context, tx bun.Tx) error) error {
	return db.RunInTx(ctx, nil, fn)
}

// Migrator returns the migrator of this schema. A migration is marked as applied only once it succeeded.
func Migrator(db *bun.DB) *migrate.Migrator {
	return migrate.NewMigrator(db, migrations.All(), migrate.WithMarkAppliedOnSuccess(true))
}

// Migrate brings the schema up to date and makes the partitions of the coming days. It may be run by several processes at
// once: an advisory lock lets one in at a time.
func Migrate(ctx context.Context, db *bun.DB) (applied []string, err error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := conn.ExecContext(ctx, "SELECT pg_advisory_lock(?)", migrationLock); err != nil {
		return nil, fmt.Errorf("wait for other migrations: %w", err)
	}
	defer func() {
		_, _ = conn.ExecContext(context.WithoutCancel(ctx), "SELECT pg_advisory_unlock(?)", migrationLock)
	}()
	m := Migrator(db)
	if err := m.Init(ctx); err != nil {
		return nil, fmt.Errorf("prepare migrations: %w", err)
	}
	group, err := m.Migrate(ctx)
	if err != nil {
		return nil, fmt.Errorf("migrate: %w", err)
	}
	for _, mig := range group.Migrations {
		applied = append(applied, mig.Name+"_"+mig.Comment)
	}
	if err := EnsurePartitions(ctx, db, time.Now(), PartitionDaysAhead); err != nil {
		return applied, err
	}
	return applied, nil
}

// Rollback takes the last applied group of migrations back and returns their names.
func Rollback(ctx context.Context, db *bun.DB) (taken []string, err error) {
	m := Migrator(db)
	if err := m.Init(ctx); err != nil {
		return nil, fmt.Errorf("prepare migrations: %w", err)
	}
	group, err := m.Rollback(ctx)
	if err != nil {
		return nil, fmt.Errorf("roll back: %w", err)
	}
	for _, mig := range group.Migrations {
		taken = append(taken, mig.Name+"_"+mig.Comment)
	}
	return taken, nil
}

// ErrNotMigrated: the schema is missing or older than this program.
var ErrNotMigrated = errors.New("the database is not migrated: run greenroom migrate up")

// CheckMigrated returns ErrNotMigrated when a migration of this program was not applied.
func CheckMigrated(ctx context.Context, db *bun.DB) error {
	all, err := Migrator(db).MigrationsWithStatus(ctx)
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == "42P01" || err == nil && len(all.Unapplied()) > 0 { // undefined_table: not even the list of migrations
		return ErrNotMigrated
	}
	if err != nil {
		return fmt.Errorf("read migrations: %w", err)
	}
	return nil
}

// MigrationState is one migration and when it was applied; zero when it was not.
type MigrationState struct {
	Name      string
	AppliedAt time.Time
}

// MigrationStatus lists all migrations, oldest first.
func MigrationStatus(ctx context.Context, db *bun.DB) ([]MigrationState, error) {
	m := Migrator(db)
	if err := m.Init(ctx); err != nil {
		return nil, fmt.Errorf("prepare migrations: %w", err)
	}
	all, err := m.MigrationsWithStatus(ctx)
	if err != nil {
		return nil, fmt.Errorf("list migrations: %w", err)
	}
	states := make([]MigrationState, 0, len(all))
	for _, mig := range all {
		states = append(states, MigrationState{Name: mig.Name + "_" + mig.Comment, AppliedAt: mig.MigratedAt})
	}
	slices.SortFunc(states, func(a, b MigrationState) int { return strings.Compare(a.Name, b.Name) })
	return states, nil
}

// migrationLock is the advisory lock of Migrate: any number that nothing else in this database uses.
const migrationLock = 0x67726e726d // "grnrm"

// NewID returns a UUIDv7: later ids sort after earlier ones.
func NewID() uuid.UUID { return uuid.Must(uuid.NewV7()) }

// ParseID reads a UUID; ok is false for anything else.
func ParseID(s string) (uuid.UUID, bool) {
	if len(s) != 36 {
		return uuid.Nil, false
	}
	id, err := uuid.Parse(s)
	return id, err == nil
}

// FloorID is the smallest UUIDv7 of an instant (ms): `id >= FloorID(t)` means "made at or after t".
func FloorID(t time.Time) uuid.UUID {
	var id uuid.UUID
	ms := uint64(max(t.UnixMilli(), 0))
	for i := range 6 {
		id[i] = byte(ms >> (8 * (5 - i)))
	}
	return id
}

// one runs a query that must touch exactly one row and says ErrNotFound when it touched none.
func one(res sql.Result, err error) error {
	if err != nil {
		return err
	}
	n, err := res.RowsAffected()
	if err != nil {
		return err
	}
	if n == 0 {
		return ErrNotFound
	}
	return nil
}
