package db

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"greenroom/db/pg"
)

// Stray files are those in the store of media that no row counts on. Two systems cannot commit together, so a file is
// listed here before it is uploaded and leaves the list in the transaction that makes it count; what is replaced or
// deleted, with its candidate too, joins the list in that transaction (the schema's triggers see to it). Whatever
// ends a process between the two, no file is kept that should not be, and none is missing that should be there.

// ReserveFile lists a file that is about to be uploaded. Nothing can count on it from due on, and it will be deleted
// then.
func ReserveFile(ctx context.Context, db bun.IDB, file string, due time.Time) error {
	if _, err := db.ExecContext(ctx, "INSERT INTO stray_files (file, due_at) VALUES (?, ?)", file, due); err != nil {
		return fmt.Errorf("reserve file: %w", pg.Translate(err))
	}
	return nil
}

// RenewFile moves the time of a reserved file that is still to come: its upload is under way.
func RenewFile(ctx context.Context, db bun.IDB, file string, due time.Time) error {
	_, err := db.ExecContext(
		ctx,
		"UPDATE stray_files SET due_at = GREATEST(due_at, ?) WHERE file = ? AND due_at > now()",
		due,
		file,
	)
	if err != nil {
		return fmt.Errorf("renew file: %w", err)
	}
	return nil
}

// ReleaseFile makes a reserved file due now: its upload came to nothing.
func ReleaseFile(ctx context.Context, db bun.IDB, file string) error {
	if _, err := db.ExecContext(ctx, "UPDATE stray_files SET due_at = now() WHERE file = ?", file); err != nil {
		return fmt.Errorf("release file: %w", err)
	}
	return nil
}

// claimFile takes a reserved file off the list: from tx on a row counts on it. It is ErrConflict for one whose time
// is up; the minute is more than a transaction takes, so that a file is never deleted while it is being claimed.
func claimFile(ctx context.Context, tx bun.Tx, file string) error {
	var claimed string
	err := tx.NewRaw("DELETE FROM stray_files WHERE file = ? AND due_at > now() + interval '1 minute' RETURNING file", file).
		Scan(ctx, &claimed)
	if err = pg.Translate(err); errors.Is(err, pg.ErrNotFound) {
		err = pg.ErrConflict
	}
	if err != nil {
		return fmt.Errorf("claim file: %w", err)
	}
	return nil
}

// OrphanedFiles lists files that are due, the longest waiting first; one that could not be deleted has to wait.
func OrphanedFiles(ctx context.Context, db bun.IDB, limit int) ([]string, error) {
	files := []string{}
	err := db.NewRaw(`SELECT file FROM stray_files
		WHERE GREATEST(due_at, not_before) <= now() ORDER BY GREATEST(due_at, not_before) LIMIT ?`, limit).Scan(ctx, &files)
	if err != nil {
		return nil, fmt.Errorf("list stray files: %w", err)
	}
	return files, nil
}

// PostponeFile makes a file that could not be deleted wait for 10 s, and twice as long after each further try, up to
// a day, so that it does not hold up the others. It stays due: no row can count on it.
func PostponeFile(ctx context.Context, db bun.IDB, file, reason string) error {
	_, err := db.ExecContext(ctx, `UPDATE stray_files SET attempts = attempts + 1, reason = ?,
		not_before = now() + LEAST(10 * 2 ^ LEAST(attempts, 20), 86400) * interval '1 s' WHERE file = ?`, reason, file)
	if err != nil {
		return fmt.Errorf("postpone file: %w", err)
	}
	return nil
}

// ForgetFile takes a file that was deleted off the list.
func ForgetFile(ctx context.Context, db bun.IDB, file string) error {
	if _, err := db.ExecContext(ctx, "DELETE FROM stray_files WHERE file = ? AND due_at <= now()", file); err != nil {
		return fmt.Errorf("forget file: %w", err)
	}
	return nil
}
