package db

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/db/pg"
)

// JoinJob adds a job to a candidate; false when the candidate has it. It locks the candidate's row, so that the
// candidate cannot leave the job before tx ends. A candidate that was deleted since it was read is ErrConflict.
func JoinJob(ctx context.Context, tx bun.Tx, job, candidate uuid.UUID) (added bool, err error) {
	err = lockCandidateShared(ctx, tx, candidate)
	if errors.Is(err, pg.ErrNotFound) {
		return false, pg.ErrConflict
	}
	if err != nil {
		return false, err
	}
	var there bool
	err = tx.NewRaw("SELECT EXISTS (SELECT 1 FROM candidate_jobs WHERE candidate_id = ? AND job_id = ?)", candidate, job).
		Scan(ctx, &there)
	if err != nil {
		return false, fmt.Errorf("look for candidate's job: %w", err)
	}
	return !there, AddCandidateJobs(ctx, tx, candidate, job)
}

// LeaveJob removes a job from a candidate, with the candidate's answers for it, and cancels its interviews that have
// not started. A candidate without that job is ErrNotFound. A candidate without another job is deleted. It locks the
// candidate's row first, so that no interview is created at the same time.
func LeaveJob(ctx context.Context, tx bun.Tx, job, candidate uuid.UUID) error {
	if _, err := tx.ExecContext(ctx, "SELECT 1 FROM candidates WHERE id = ? FOR NO KEY UPDATE", candidate); err != nil {
		return fmt.Errorf("lock candidate: %w", err)
	}
	err := pg.One(
		tx.ExecContext(ctx, "DELETE FROM candidate_jobs WHERE candidate_id = ? AND job_id = ?", candidate, job),
	)
	if err != nil {
		return fmt.Errorf("remove candidate's job: %w", err)
	}
	if err := DeleteAnswerVideosOf(ctx, tx, job, candidate); err != nil {
		return err
	}
	if err := cancelScheduled(
		ctx,
		tx,
		ReasonCanceledByClient,
		"candidate_id = ? AND job_id = ? AND deleted_at IS NULL",
		candidate,
		job,
	); err != nil {
		return err
	}
	left, err := GetCandidate(ctx, tx, candidate)
	if err != nil || len(left.JobIDs) > 0 {
		return err
	}
	return DeleteCandidate(ctx, tx, candidate)
}

// NewestInterviews returns each candidate's newest interview for that job, by candidate.
func NewestInterviews(
	ctx context.Context,
	db bun.IDB,
	job uuid.UUID,
	of []Candidate,
) (map[uuid.UUID]*Interview, error) {
	newest := make(map[uuid.UUID]*Interview, len(of))
	if len(of) == 0 {
		return newest, nil
	}
	ids := make([]uuid.UUID, len(of))
	for i := range of {
		ids[i] = of[i].ID
	}
	rows := []Interview{}
	err := db.NewSelect().Model(&rows).DistinctOn("i.candidate_id").Where("i.job_id = ?", job).
		Where("i.candidate_id IN (?) AND i.deleted_at IS NULL", bun.List(ids)).Order("i.candidate_id", "i.id DESC").Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("list newest interviews: %w", err)
	}
	for i := range rows {
		newest[rows[i].CandidateID] = &rows[i]
	}
	return newest, nil
}
