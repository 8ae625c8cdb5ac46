package db

import (
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"slices"

	"github.com/jackc/pgx/v5/pgconn"
)

// outage are the classes of errors in which PostgreSQL says that it cannot serve now: it lost the connection, has no room, or
// stops or starts (https://www.postgresql.org/docs/current/errcodes-appendix.html).
var outage = []string{"08", "53", "57", "58"}

// IsUnavailable reports whether an error means that the database could not be reached or cannot serve now. False for what it
// refused, and for every error that is not the database's.
func IsUnavailable(err error) bool {
	var answered *pgconn.PgError
	if errors.As(err, &answered) {
		return slices.Contains(outage, answered.Code[:2])
	}
	var connect *pgconn.ConnectError
	var network *net.OpError
	return errors.As(err, &connect) || errors.As(err, &network) || errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone) ||
		errors.Is(err, io.ErrUnexpectedEOF)
}
