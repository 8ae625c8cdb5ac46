package db

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// QuotaError means that a company has as many of a resource as it may have.
type QuotaError struct {
	Resource string // plural, such as "webhooks"
	Limit    int
}

func (e *QuotaError) Error() string {
	return fmt.Sprintf("this company has the maximum of %d %s", e.Limit, e.Resource)
}

// CheckWebhookQuota returns a [QuotaError] when the company has limit webhooks: its own, and global ones of its keys.
// Like the other checks here, it locks the company until the transaction ends, so that concurrent requests do not
// exceed the quota.
func CheckWebhookQuota(ctx context.Context, tx bun.Tx, company uuid.UUID, limit int) error {
	return checkQuota(ctx, tx, company, QuotaError{"webhooks", limit}, `SELECT 1 FROM webhooks
		WHERE deleted_at IS NULL AND (company_id = ?0 OR owner_company_id = ?0) LIMIT ?1`)
}

// CheckEventTypeQuota returns a [QuotaError] when the company has limit event types of its own.
func CheckEventTypeQuota(ctx context.Context, tx bun.Tx, company uuid.UUID, limit int) error {
	return checkQuota(ctx, tx, company, QuotaError{"event types", limit},
		"SELECT 1 FROM event_types WHERE deleted_at IS NULL AND company_id = ?0 LIMIT ?1")
}

// CheckAPIKeyQuota returns a [QuotaError] when the company has limit API keys that are neither revoked nor expired.
// Tokens of staff users do not count: they expire when they are not used.
func CheckAPIKeyQuota(ctx context.Context, tx bun.Tx, company uuid.UUID, limit int) error {
	return checkQuota(ctx, tx, company, QuotaError{"API keys", limit}, `SELECT 1 FROM api_keys WHERE company_id = ?0
		AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now()) AND staff_id IS NULL LIMIT ?1`)
}

func checkQuota(ctx context.Context, tx bun.Tx, company uuid.UUID, exceeded QuotaError, rows string) error {
	if err := LockCompany(ctx, tx, company); err != nil {
		return err
	}
	var n int
	err := tx.NewRaw("SELECT count(*) FROM ("+rows+") AS had", company, exceeded.Limit).Scan(ctx, &n)
	if err != nil {
		return fmt.Errorf("count %s: %w", exceeded.Resource, err)
	}
	if n >= exceeded.Limit {
		return &exceeded
	}
	return nil
}

// MediaBytes returns the size of all uploaded files of a company, in bytes.
func MediaBytes(ctx context.Context, db bun.IDB, company uuid.UUID) (n int64, err error) {
	err = db.NewRaw(`SELECT (SELECT coalesce(sum(size), 0) FROM answer_videos WHERE company_id = ?0 AND deleted_at IS NULL)
		+ (SELECT coalesce(sum(size), 0) FROM welcome_videos WHERE company_id = ?0 AND deleted_at IS NULL)
		+ (SELECT coalesce(sum(a.size), 0) FROM attachments a JOIN candidates c ON c.id = a.candidate_id
			WHERE c.company_id = ?0 AND c.deleted_at IS NULL)
		+ (SELECT coalesce(sum(a.size), 0) FROM attachments a JOIN staff s ON s.id = a.staff_id
			WHERE s.company_id = ?0 AND s.deleted_at IS NULL)`, company).Scan(ctx, &n)
	if err != nil {
		return 0, fmt.Errorf("sum up uploaded files: %w", err)
	}
	return n, nil
}
