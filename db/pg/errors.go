package pg

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/jackc/pgx/v5/pgconn"
)

// Expected errors of queries, for errors.Is. Any other error is a fault of Greenroom or the database.
var (
	// ErrNotFound: the row does not exist, or the scope does not see it.
	ErrNotFound = errors.New("not found")
	// ErrConflict: the row is there but not in a state that allows the change; another caller may have won a race.
	ErrConflict = errors.New("conflict")
	// ErrDuplicate: a row with the same unique value is there already.
	ErrDuplicate = errors.New("already exists")
)

// StateError is an ErrConflict with the state that does not allow the change.
type StateError struct {
	Resource string // "interview", "delivery", …
	State    string
}

func (e *StateError) Error() string { return fmt.Sprintf("%s is %s", e.Resource, e.State) }

// Is makes errors.Is(err, ErrConflict) true.
func (e *StateError) Is(target error) bool { return target == ErrConflict }

// Translate turns the driver's errors into this package's sentinels.
func Translate(err error) error {
	var pg *pgconn.PgError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, sql.ErrNoRows):
		return ErrNotFound
	case errors.As(err, &pg) && pg.Code == "23505": // unique_violation
		return fmt.Errorf("%w: %s", ErrDuplicate, pg.ConstraintName)
	}
	return err
}

// IsUnavailable reports whether the database is temporarily unavailable: unreachable, restarting, failing over or out
// of resources. It is false when the database refused the statement, the driver could not encode it, or the URL or a
// file that it names is wrong.
func IsUnavailable(err error) bool {
	var url *pgconn.ParseConfigError
	var connect *pgconn.ConnectError
	var pg *pgconn.PgError
	var network net.Error
	switch {
	case errors.As(err, &url): // a missing file is an errno, which is a net.Error too
		return false
	case errors.As(err, &connect):
		return true
	case errors.As(err, &pg):
		return isTemporary(pg.Code)
	case errors.As(err, &network), pgconn.SafeToRetry(err), pgconn.Timeout(err):
		return true
	}
	for _, broken := range []error{
		context.DeadlineExceeded, io.EOF, io.ErrUnexpectedEOF, net.ErrClosed,
		driver.ErrBadConn, sql.ErrConnDone, pgconn.ErrConnClosed,
	} {
		if errors.Is(err, broken) {
			return true
		}
	}
	return false
}

// isTemporary reports whether a later try may succeed. The classes are those of
// https://www.postgresql.org/docs/current/errcodes-appendix.html for connections, deadlocks and serialization,
// resources, locks, an operator's intervention and system errors.
func isTemporary(code string) bool {
	switch code[:2] {
	case "08", "40", "53", "55", "57", "58":
		return true
	}
	return code == "25006" // read_only_sql_transaction: a failover left this connection on a standby
}

// UnlessLost returns nil for ErrConflict and ErrNotFound: another transaction changed the row first.
func UnlessLost(err error) error {
	if errors.Is(err, ErrConflict) || errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}
