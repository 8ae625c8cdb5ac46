package leader

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/db/pg"
)

// acquire takes or renews the lease for ttl and reports whether holder has it. Only the database's clock counts. A
// holder that did not renew it in time may have lost it. A lease is a row and not an advisory lock: that belongs to a
// connection, which a pooler shares and a frozen process keeps.
func acquire(
	ctx context.Context, db bun.IDB, lease string, holder uuid.UUID, ttl time.Duration,
) (held bool, err error) {
	err = db.NewRaw(`INSERT INTO leases AS l (name, holder, expires_at)
		VALUES (?0, ?1, clock_timestamp() + ?2 * interval '1 ms')
		ON CONFLICT (name) DO UPDATE SET holder = EXCLUDED.holder, expires_at = EXCLUDED.expires_at
		WHERE l.holder = EXCLUDED.holder OR l.expires_at < clock_timestamp() RETURNING true`,
		lease, holder, ttl.Milliseconds()).Scan(ctx, &held)
	if err = pg.Translate(err); errors.Is(err, pg.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("acquire lease: %w", err)
	}
	return held, nil
}

// release ends the lease before it expires. A lease that holder does not have stays.
func release(ctx context.Context, db bun.IDB, lease string, holder uuid.UUID) error {
	if _, err := db.ExecContext(ctx, "DELETE FROM leases WHERE name = ? AND holder = ?", lease, holder); err != nil {
		return fmt.Errorf("release lease: %w", err)
	}
	return nil
}
