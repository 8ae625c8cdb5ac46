package db

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/db/pg"
)

// These functions look rows up by the integer ids of the contracts that have them. A number of another company, or of a
// deleted row, is ErrNotFound, so that counting through numbers reveals nothing.

// CompanyByNumber returns a company by its number.
func CompanyByNumber(ctx context.Context, db bun.IDB, number int64) (*Company, error) {
	c := new(Company)
	if err := db.NewSelect().Model(c).Where("co.number = ? AND co.deleted_at IS NULL", number).Scan(ctx); err != nil {
		return nil, fmt.Errorf("get company: %w", pg.Translate(err))
	}
	return c, nil
}

// CompanyByIdentifier returns a company by its name in addresses.
func CompanyByIdentifier(ctx context.Context, db bun.IDB, identifier string) (*Company, error) {
	c := new(Company)
	if err := db.NewSelect().
		Model(c).
		Where("co.identifier = ? AND co.deleted_at IS NULL", identifier).
		Scan(ctx); err != nil {
		return nil, fmt.Errorf("get company: %w", pg.Translate(err))
	}
	return c, nil
}

// JobByNumber returns a company's job by its number.
func JobByNumber(ctx context.Context, db bun.IDB, company uuid.UUID, number int64) (*Job, error) {
	p := new(Job)
	err := db.NewSelect().
		Model(p).
		Where("j.number = ? AND j.company_id = ? AND j.deleted_at IS NULL", number, company).
		Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("get job: %w", pg.Translate(err))
	}
	return p, nil
}

// CandidateByNumber returns a company's candidate by its number, as GetCandidate does.
func CandidateByNumber(ctx context.Context, db bun.IDB, company uuid.UUID, number int64) (*Candidate, error) {
	cs := make([]Candidate, 1)
	err := db.NewSelect().Model(&cs[0]).ColumnExpr("c.*").ColumnExpr(candidateCounts).
		Where("c.number = ? AND c.company_id = ? AND c.deleted_at IS NULL", number, company).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("get candidate: %w", pg.Translate(err))
	}
	return &cs[0], loadCandidateJobs(ctx, db, cs)
}

// InterviewByNumber returns a company's interview by its number. One of a deleted candidate is ErrNotFound.
func InterviewByNumber(ctx context.Context, db bun.IDB, company uuid.UUID, number int64) (*Interview, error) {
	i := new(Interview)
	err := db.NewSelect().Model(i).ColumnExpr("i.*").ColumnExpr(plannedDuration).
		Where("i.number = ? AND i.company_id = ? AND i.deleted_at IS NULL", number, company).
		Where(candidateKept).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("get interview: %w", pg.Translate(err))
	}
	return i, nil
}

// InterviewByNumberUnscoped returns an interview of any company by its number. The caller must check a key that is
// derived from the row.
func InterviewByNumberUnscoped(ctx context.Context, db bun.IDB, number int64) (*Interview, error) {
	i := new(Interview)
	err := db.NewSelect().Model(i).Where("i.number = ? AND i.deleted_at IS NULL", number).Where(candidateKept).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("get interview: %w", pg.Translate(err))
	}
	return i, nil
}

// Lock locks a row of companies, jobs, candidates or staff (FOR NO KEY UPDATE) until tx ends, to prevent lost updates.
// Foreign-key checks do not block. A row that is missing or deleted is ErrNotFound.
func Lock(ctx context.Context, tx bun.Tx, table string, id uuid.UUID) error {
	err := pg.One(
		tx.ExecContext(ctx, "SELECT 1 FROM ? WHERE id = ? AND deleted_at IS NULL FOR NO KEY UPDATE", bun.Ident(table), id),
	)
	if err != nil {
		return fmt.Errorf("lock %s: %w", table, pg.Translate(err))
	}
	return nil
}
