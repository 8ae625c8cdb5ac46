package db

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/db/pg"
)

// Veto is a staff user's objection to a candidate for a job. It does not change ratings, and it has no event.
type Veto struct {
	bun.BaseModel `bun:"table:vetos,alias:v"`

	ID          uuid.UUID `bun:"id,pk"`
	Number      int64     `bun:"number,autoincrement"`
	CompanyID   uuid.UUID `bun:"company_id"`
	JobID       uuid.UUID `bun:"job_id"`
	CandidateID uuid.UUID `bun:"candidate_id"`
	// StaffID is the evaluator; nil: a client with a key of the company.
	StaffID   *uuid.UUID `bun:"staff_id"`
	Comment   string     `bun:"comment"`
	CreatedAt time.Time  `bun:"created_at"`
	UpdatedAt time.Time  `bun:"updated_at"`
	DeletedAt *time.Time `bun:"deleted_at"`

	StaffNumber *int64 `bun:"staff_number,scanonly"`
}

const vetoNumbers = "(SELECT s.number FROM staff s WHERE s.id = v.staff_id) AS staff_number"

// CreateVeto stores a new veto. A deleted candidate is ErrNotFound, a second veto of the evaluator ErrDuplicate.
func CreateVeto(ctx context.Context, tx bun.Tx, v *Veto) error {
	if err := lockCandidateShared(ctx, tx, v.CandidateID); err != nil {
		return err
	}
	v.ID, v.CreatedAt = pg.NewID(), now()
	v.UpdatedAt = v.CreatedAt
	if _, err := tx.NewInsert().Model(v).Exec(ctx); err != nil {
		return fmt.Errorf("insert veto: %w", pg.Translate(err))
	}
	return nil
}

// VetoByNumber returns a veto against a candidate for a job, unless it was deleted.
func VetoByNumber(ctx context.Context, db bun.IDB, job, candidate uuid.UUID, number int64) (*Veto, error) {
	v := new(Veto)
	err := db.NewSelect().Model(v).ColumnExpr("v.*").ColumnExpr(vetoNumbers).
		Where("v.number = ? AND v.job_id = ? AND v.candidate_id = ? AND v.deleted_at IS NULL", number, job, candidate).
		Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("get veto: %w", pg.Translate(err))
	}
	return v, nil
}

// ListVetos returns one page of the vetos against a candidate for a job, oldest first, and the total.
func ListVetos(ctx context.Context, db bun.IDB, job, candidate uuid.UUID, p pg.Page) ([]Veto, int64, error) {
	vs := []Veto{}
	total, err := db.NewSelect().Model(&vs).ColumnExpr("v.*").ColumnExpr(vetoNumbers).
		Where("v.job_id = ? AND v.candidate_id = ? AND v.deleted_at IS NULL", job, candidate).Order("v.id").
		Limit(p.Limit).Offset(p.Offset).ScanAndCount(ctx)
	if err != nil {
		return nil, 0, fmt.Errorf("list vetos: %w", err)
	}
	return vs, total, nil
}

// vetosOf returns the vetos against candidates for a job, oldest first.
func vetosOf(ctx context.Context, db bun.IDB, job uuid.UUID, candidates []uuid.UUID) ([]Veto, error) {
	var vs []Veto
	err := db.NewSelect().Model(&vs).ColumnExpr("v.*").ColumnExpr(vetoNumbers).
		Where("v.candidate_id IN (?) AND v.job_id = ? AND v.deleted_at IS NULL", bun.List(candidates), job).
		Order("v.id").Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("list results' vetos: %w", err)
	}
	return vs, nil
}

// CommentVeto changes the comment of a veto.
func CommentVeto(ctx context.Context, db bun.IDB, id uuid.UUID, comment string) error {
	err := pg.One(
		db.ExecContext(ctx, "UPDATE vetos SET comment = ?, updated_at = now() WHERE id = ? AND deleted_at IS NULL",
			comment, id),
	)
	if err != nil {
		return fmt.Errorf("update veto: %w", err)
	}
	return nil
}

// DeleteVeto soft-deletes a veto.
func DeleteVeto(ctx context.Context, db bun.IDB, id uuid.UUID) error {
	if err := softDelete(ctx, db, "vetos", id); err != nil {
		return fmt.Errorf("delete veto: %w", err)
	}
	return nil
}
