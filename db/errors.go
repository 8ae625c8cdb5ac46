package db

import (
	"database/sql"
	"errors"
	"fmt"

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

// translate turns the driver's errors into this package's sentinels.
func translate(err error) error {
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

// IsAway reports whether an error may pass by itself: the database does not answer, restarts, or has no room just now. False:
// it answered, and refuses what it was asked.
func IsAway(err error) bool {
	var pg *pgconn.PgError
	if err == nil || !errors.As(err, &pg) {
		return err != nil
	}
	switch pg.Code[:2] { // classes of https://www.postgresql.org/docs/current/errcodes-appendix.html
	case "08", "40", "53", "55", "57", "58":
		return true
	}
	return false
}
