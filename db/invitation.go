package db

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/db/pg"
)

// InterviewNumbered returns an interview by its number whoever owns it: for a caller who proves by a key that is
// derived from the row that it is theirs.
func InterviewNumbered(ctx context.Context, db bun.IDB, number int64) (*Interview, error) {
	i := new(Interview)
	if err := db.NewSelect().Model(i).Where("i.number = ? AND i.deleted_at IS NULL", number).Scan(ctx); err != nil {
		return nil, fmt.Errorf("get interview: %w", pg.Translate(err))
	}
	return i, nil
}

// MoveDeadline gives an invitation that was not followed yet another end; what has begun or ended is a StateError. It
// is no event of its own.
func MoveDeadline(ctx context.Context, tx bun.Tx, interview uuid.UUID, at time.Time) error {
	_, err := transition(ctx, tx, interview, []InterviewStatus{InterviewScheduled}, "deadline_at = ?", at)
	if err != nil {
		return fmt.Errorf("move deadline: %w", err)
	}
	return nil
}

// HasCandidate reports whether a job has a candidate of that e-mail address, whatever its case.
func HasCandidate(ctx context.Context, db bun.IDB, job uuid.UUID, email string) (bool, error) {
	var there bool
	err := db.NewRaw(`SELECT EXISTS (SELECT 1 FROM candidate_jobs cj JOIN candidates c ON c.id = cj.candidate_id
		WHERE cj.job_id = ? AND lower(c.email) = lower(?) AND c.deleted_at IS NULL)`, job, email).Scan(ctx, &there)
	if err != nil {
		return false, fmt.Errorf("look for candidate: %w", err)
	}
	return there, nil
}

// Raters returns who has rated each of the candidates for a job: the numbers of staff users, and 0 for clients with a
// key of the company.
func Raters(ctx context.Context, db bun.IDB, job uuid.UUID, candidates ...uuid.UUID) (map[uuid.UUID][]int64, error) {
	raters := map[uuid.UUID][]int64{}
	if len(candidates) == 0 {
		return raters, nil
	}
	var rows []struct {
		CandidateID uuid.UUID
		Number      int64
	}
	err := db.NewRaw(`SELECT DISTINCT r.candidate_id, COALESCE(s.number, 0) AS number FROM ratings r LEFT JOIN staff s ON s.id = r.staff_id
		WHERE r.job_id = ? AND r.candidate_id IN (?) AND r.deleted_at IS NULL`, job, bun.List(candidates)).
		Scan(ctx, &rows)
	if err != nil {
		return nil, fmt.Errorf("list raters: %w", err)
	}
	for _, r := range rows {
		raters[r.CandidateID] = append(raters[r.CandidateID], r.Number)
	}
	return raters, nil
}

// Criteria returns by what candidates for a job were rated, in alphabetical order.
func Criteria(ctx context.Context, db bun.IDB, job uuid.UUID) ([]string, error) {
	names := []string{}
	err := db.NewRaw("SELECT DISTINCT criterion FROM ratings WHERE job_id = ? AND criterion IS NOT NULL AND deleted_at IS NULL ORDER BY 1", job).
		Scan(ctx, &names)
	if err != nil {
		return nil, fmt.Errorf("list criteria: %w", err)
	}
	return names, nil
}
