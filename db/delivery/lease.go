package delivery

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/db/pg"
)

// A lease lets one process at a time do a task, and another process take over when it expires. It is a row because an
// advisory lock belongs to a connection, which a pooler shares and a frozen process keeps.

// AcquireLease takes or renews a lease for ttl and reports whether holder has it. Only the database's clock counts. A
// holder that did not renew it in time may have lost it to another.
func AcquireLease(
	ctx context.Context,
	db bun.IDB,
	name string,
	holder uuid.UUID,
	ttl time.Duration,
) (held bool, err error) {
	err = db.NewRaw(`INSERT INTO leases AS l (name, holder, expires_at) VALUES (?0, ?1, clock_timestamp() + ?2 * interval '1 ms')
		ON CONFLICT (name) DO UPDATE SET holder = EXCLUDED.holder, expires_at = EXCLUDED.expires_at
		WHERE l.holder = EXCLUDED.holder OR l.expires_at < clock_timestamp() RETURNING true`,
		name, holder, ttl.Milliseconds()).
		Scan(ctx, &held)
	if err = pg.Translate(err); errors.Is(err, pg.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("acquire lease: %w", err)
	}
	return held, nil
}

// ReleaseLease gives a lease back before it expires. One that holder does not have is left alone.
func ReleaseLease(ctx context.Context, db bun.IDB, name string, holder uuid.UUID) error {
	if _, err := db.ExecContext(ctx, "DELETE FROM leases WHERE name = ? AND holder = ?", name, holder); err != nil {
		return fmt.Errorf("release lease: %w", err)
	}
	return nil
}
