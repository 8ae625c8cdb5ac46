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

// What a query may refuse. Callers compare with errors.Is; anything else is a fault of ours.
var (
	// ErrNotFound: no such row, or one that this company may not see.
	ErrNotFound = errors.New("not found")
	// ErrConflict: the row is there but not in a state that allows the change; another caller may have won a race.
	ErrConflict = errors.New("conflict")
	// ErrDuplicate: a row with the same unique value is there already.
	ErrDuplicate = errors.New("already exists")
)

// StateError is an ErrConflict that names the state which stood in the way.
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

// IsUnavailable reports whether an error may pass by itself: the database cannot be reached, restarts, fails over, or
// has no room just now. False: it answered and refuses the statement, or the statement could not be encoded.
func IsUnavailable(err error) bool {
	var connect *pgconn.ConnectError
	var pg *pgconn.PgError
	var network net.Error
	switch {
	case errors.As(err, &connect):
		return true
	case errors.As(err, &pg):
		return passes(pg.Code)
	case errors.As(err, &network), pgconn.SafeToRetry(err), pgconn.Timeout(err):
		return true
	}
	for _, broken := range []error{
		context.DeadlineExceeded, io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, driver.ErrBadConn, sql.ErrConnDone, pgconn.ErrConnClosed,
	} {
		if errors.Is(err, broken) {
			return true
		}
	}
	return false
}

// passes knows the classes of https://www.postgresql.org/docs/current/errcodes-appendix.html that a later try may not
// meet: connections, deadlocks and serialization, resources, locks, an operator's intervention, the system.
func passes(code string) bool {
	switch code[:2] {
	case "08", "40", "53", "55", "57", "58":
		return true
	}
	return code == "25006" // read_only_sql_transaction: a failover left this connection on a standby
}

// UnlessLost returns nil for ErrConflict and ErrNotFound: another change came first, and the row has decided.
func UnlessLost(err error) error {
	if errors.Is(err, ErrConflict) || errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}
