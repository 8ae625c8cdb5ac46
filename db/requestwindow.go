package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// RequestClaim asks for N requests of an API key in its current window of that name. A window begins with its first
// request and lasts Period. Limit bounds the requests in it.
type RequestClaim struct {
	Key      uuid.UUID
	Window   string
	Period   time.Duration
	N, Limit int64
}

// RequestWindow is the state of a window after a claim. Ends is when it ends, by the clock of the database; In is the
// time until then.
type RequestWindow struct {
	Granted bool
	Used    int64
	Ends    time.Time
	In      time.Duration
}

// ClaimRequests claims requests for this process. The claim is granted as a whole or not at all: all processes together
// are granted at most Limit requests in a window.
func ClaimRequests(ctx context.Context, db bun.IDB, c RequestClaim) (w RequestWindow, err error) {
	var in float64
	claim := func() error {
		return db.NewRaw(`WITH c AS (
			INSERT INTO request_windows AS w (api_key_id, name, ends_at, used)
			VALUES (?0, ?1, clock_timestamp() + ?2 * interval '1 ms', ?3)
			ON CONFLICT (api_key_id, name) DO UPDATE SET
				ends_at = CASE WHEN w.ends_at <= clock_timestamp() THEN EXCLUDED.ends_at ELSE w.ends_at END,
				used = CASE WHEN w.ends_at <= clock_timestamp() THEN EXCLUDED.used ELSE w.used + EXCLUDED.used END
			WHERE w.ends_at <= clock_timestamp() OR w.used + EXCLUDED.used <= ?4 RETURNING used, ends_at
		)
		SELECT true, used, ends_at, extract(epoch FROM ends_at - clock_timestamp())::float8 FROM c
		UNION ALL
		SELECT false, used, ends_at, extract(epoch FROM ends_at - clock_timestamp())::float8 FROM request_windows
		WHERE api_key_id = ?0 AND name = ?1 AND NOT EXISTS (SELECT FROM c)`,
			c.Key, c.Window, c.Period.Milliseconds(), c.N, c.Limit).Scan(ctx, &w.Granted, &w.Used, &w.Ends, &in)
	}
	if err = claim(); errors.Is(err, sql.ErrNoRows) { // another process has just created the row
		err = claim()
	}
	if err != nil {
		return w, fmt.Errorf("claim requests: %w", err)
	}
	w.In = time.Duration(in * float64(time.Second))
	return w, nil
}

// DropRequestWindows deletes windows that ended more than a day ago.
func DropRequestWindows(ctx context.Context, db bun.IDB) error {
	_, err := db.ExecContext(ctx, "DELETE FROM request_windows WHERE ends_at < now() - interval '1 day'")
	if err != nil {
		return fmt.Errorf("drop request windows: %w", err)
	}
	return nil
}
