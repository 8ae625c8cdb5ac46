package pg

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/uptrace/bun"
)

// Direct is the same connection or transaction without Bun. Bun writes arguments into the statement's text, so each
// text is new to PostgreSQL and the driver must not keep it prepared: a connection would hold hundreds of them. What
// goes through here has parameters. The driver keeps its description but PostgreSQL plans it anew each time, with the
// values and the sizes that the tables have then. A kept plan is cheaper by less than a millisecond and fails when a
// table or a day's partition was empty when it was made; and a plan for known ids reads the partitions of their days
// alone.
func Direct(db bun.IDB) DirectConn {
	switch db := db.(type) {
	case *bun.DB:
		return DirectConn{db.DB}
	case bun.Tx:
		return DirectConn{db.Tx}
	case bun.Conn:
		return DirectConn{db.Conn}
	}
	panic(fmt.Sprintf("db: %T hides the connection", db)) // what Bun would make of the parameters is wrong
}

// DirectConn runs statements with parameters, see Direct.
type DirectConn struct {
	conn interface {
		QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
		QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
		ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	}
}

func planned(args []any) []any { return append([]any{pgx.QueryExecModeCacheDescribe}, args...) }

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
