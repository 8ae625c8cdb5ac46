package db

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"greenroom/db/pg"
)

// An orphaned file is in the media store, but no row refers to it. The database and the media store cannot commit
// together, so a file is listed in stray_files before it is uploaded, and removed from the list in the transaction that
// stores its row. A file that is replaced or deleted, also with its candidate, is listed again in that transaction, by
// triggers. So a crash at any point neither leaks a file nor loses one that a row refers to.

// ReserveFile lists a file that is about to be uploaded. After due no row can refer to it any more, and it is deleted.
func ReserveFile(ctx context.Context, db bun.IDB, file string, due time.Time) error {
	if _, err := db.ExecContext(ctx, "INSERT INTO stray_files (file, due_at) VALUES (?, ?)", file, due); err != nil {
		return fmt.Errorf("reserve file: %w", pg.Translate(err))
	}
	return nil
}

// RenewFile extends the due time of a reserved file, while its upload continues. It has no effect after the due time.
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

// ReleaseFile makes a reserved file due now, because its upload failed.
func ReleaseFile(ctx context.Context, db bun.IDB, file string) error {
	if _, err := db.ExecContext(ctx, "UPDATE stray_files SET due_at = now() WHERE file = ?", file); err != nil {
		return fmt.Errorf("release file: %w", err)
	}
	return nil
}

// claimFile removes a reserved file from the list, because a row of tx refers to it. A file that is due within a minute
// is ErrConflict: a transaction takes less, so a file is never deleted while it is claimed.
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

// OrphanedFiles returns files that are due, the longest overdue first, without those that PostponeFile delays.
func OrphanedFiles(ctx context.Context, db bun.IDB, limit int) ([]string, error) {
	files := []string{}
	err := db.NewRaw(`SELECT file FROM stray_files
		WHERE GREATEST(due_at, not_before) <= now() ORDER BY GREATEST(due_at, not_before) LIMIT ?`, limit).Scan(ctx, &files)
	if err != nil {
		return nil, fmt.Errorf("list stray files: %w", err)
	}
	return files, nil
}

// PostponeFile delays the next try to delete a file: 10 s, doubled with each try, at most a day, so that it does not
// hold up other files. It stays due: no row can refer to it.
func PostponeFile(ctx context.Context, db bun.IDB, file, reason string) error {
	_, err := db.ExecContext(ctx, `UPDATE stray_files SET attempts = attempts + 1, reason = ?,
		not_before = now() + LEAST(10 * 2 ^ LEAST(attempts, 20), 86400) * interval '1 s' WHERE file = ?`, reason, file)
	if err != nil {
		return fmt.Errorf("postpone file: %w", err)
	}
	return nil
}

// ForgetFile removes a deleted file from the list.
func ForgetFile(ctx context.Context, db bun.IDB, file string) error {
	if _, err := db.ExecContext(ctx, "DELETE FROM stray_files WHERE file = ? AND due_at <= now()", file); err != nil {
		return fmt.Errorf("forget file: %w", err)
	}
	return nil
}
