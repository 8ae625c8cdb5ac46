package pg

import (
	"context"
	"database/sql"
	"fmt"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
	"github.com/uptrace/bun"
)

// Direct returns the connection or transaction without Bun. Bun writes arguments into the statement's text, so each
// text is new to PostgreSQL, and preparing it would fill the connection with hundreds of statements. Statements for
// Direct have parameters, and each connection prepares them once. Options.Planner says when they are planned.
func Direct(db bun.IDB) DirectConn {
	switch db := db.(type) {
	case *bun.DB:
		return DirectConn{db.DB}
	case bun.Tx:
		return DirectConn{db.Tx}
	case bun.Conn:
		return DirectConn{db.Conn}
	}
	panic(fmt.Sprintf("db: %T hides the connection", db)) // Bun would misread the parameters
}

// DirectConn runs statements with parameters, see Direct.
type DirectConn struct {
	conn interface {
		QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
		QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
		ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	}
}

// planEach: a pooler drops Options.Planner's settings. Statements of Direct are then not prepared, but planned at each
// execution, with the current values and table sizes: a plan that PostgreSQL keeps by its own rules may date from a
// moment when a table was empty.
var planEach atomic.Bool

func planned(args []any) []any {
	mode := pgx.QueryExecModeCacheStatement
	if planEach.Load() {
		mode = pgx.QueryExecModeCacheDescribe
	}
	return append([]any{mode}, args...)
}

// QueryContext is that of database/sql.
func (d DirectConn) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	return d.conn.QueryContext(ctx, query, planned(args)...)
}

// QueryRowContext is that of database/sql.
func (d DirectConn) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	return d.conn.QueryRowContext(ctx, query, planned(args)...)
}

// ExecContext is that of database/sql.
func (d DirectConn) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	return d.conn.ExecContext(ctx, query, planned(args)...)
}
