package activities

import (
	"context"
	"time"

	"greenroom/db"
)

// ForgetIdempotencyKeys deletes the stored answers that are older than [db.IdempotencyTTL].
func (a *Activities) ForgetIdempotencyKeys(ctx context.Context) error {
	_, err := db.DropIdempotencyKeys(ctx, a.DB, time.Now().Add(-db.IdempotencyTTL))
	return err
}
