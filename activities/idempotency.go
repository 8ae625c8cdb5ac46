package activities

import (
	"context"
	"time"

	"greenroom/db"
)

// ForgetIdempotencyKeys removes the answers whose time is over.
func (a *Activities) ForgetIdempotencyKeys(ctx context.Context) error {
	_, err := db.DropIdempotencyKeys(ctx, a.DB, time.Now().Add(-db.IdempotencyTTL))
	return err
}
