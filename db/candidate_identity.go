package db

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/db/pg"
)

// lockEmail serialises the invitations and the erasures of one address in one company until tx ends; erasures lock a
// telephone number with it too. It is an advisory lock because the address may have no row yet. Two addresses with the
// same hash only wait for each other. It is taken before the lock of a candidate.
func lockEmail(ctx context.Context, tx bun.Tx, company uuid.UUID, email string) error {
	_, err := tx.ExecContext(
		ctx,
		"SELECT pg_advisory_xact_lock(hashtextextended(lower(?1), hashtextextended(?0::text, 0)))",
		company,
		email,
	)
	if err != nil {
		return fmt.Errorf("lock e-mail address: %w", err)
	}
	return nil
}

// claimEmail makes c the holder of its address, unless another candidate holds it. The caller holds lockEmail. A holder
// whose address has changed since loses its claim.
func claimEmail(ctx context.Context, tx bun.Tx, c *Candidate) error {
	for _, query := range []string{
		`UPDATE candidates SET email_identity = NULL WHERE company_id = ?0 AND email_identity = lower(?1)
			AND lower(email) IS DISTINCT FROM email_identity AND deleted_at IS NULL`,
		`UPDATE candidates SET email_identity = lower(email) WHERE id = ?2 AND NOT EXISTS (
			SELECT 1 FROM candidates WHERE company_id = ?0 AND email_identity = lower(?1) AND deleted_at IS NULL)`,
	} {
		if _, err := tx.ExecContext(ctx, query, c.CompanyID, *c.Email, c.ID); err != nil {
			return fmt.Errorf("claim e-mail address: %w", pg.Translate(err))
		}
	}
	return nil
}

// CandidateByEmail returns the candidate that an address stands for in a company: the one that an invitation has
// matched before, else the newest with that address. Case is ignored; the database folds both sides, because outside
// ASCII its locale may fold other letters than Go does.
func CandidateByEmail(ctx context.Context, db bun.IDB, company uuid.UUID, email string) (*Candidate, error) {
	c := new(Candidate)
	err := db.NewSelect().
		Model(c).
		ColumnExpr("c.*").
		ColumnExpr("c.email_identity IS NOT DISTINCT FROM lower(c.email) AS holds_email").
		Where("c.company_id = ? AND lower(c.email) = lower(?) AND c.deleted_at IS NULL", company, email).
		OrderExpr("holds_email DESC, c.id DESC").
		Limit(1).
		Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("find candidate: %w", pg.Translate(err))
	}
	return c, nil
}
