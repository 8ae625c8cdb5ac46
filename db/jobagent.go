package db

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/db/pg"
)

// Defaults of a job's own agent, equal to those of the canonical API.
const (
	jobAgentFocus    = "SCREENING"
	jobAgentLanguage = "EN"
	jobAgentMinutes  = 15
)

// EnsureJobAgent returns the job's own ONLINE agent, for contracts without agents, and sets p.AgentID. When there is
// none, or it was deleted or changed to PHONE, it creates one with the job's title and questions. It locks the job's
// row, so that concurrent callers share one agent. It records no event. A deleted job is ErrNotFound.
func EnsureJobAgent(ctx context.Context, tx bun.Tx, p *Job) (*Agent, error) {
	var id *uuid.UUID
	// This lock does not block foreign-key checks of interviews and candidates.
	err := tx.NewRaw("SELECT agent_id FROM jobs WHERE id = ? AND deleted_at IS NULL FOR NO KEY UPDATE", p.ID).
		Scan(ctx, &id)
	if err != nil {
		return nil, fmt.Errorf("lock job: %w", pg.Translate(err))
	}
	if id != nil {
		a, err := GetAgent(ctx, tx, *id)
		if err == nil && a.Type == Online {
			p.AgentID = &a.ID
			return a, nil
		}
		if err != nil && !errors.Is(err, pg.ErrNotFound) {
			return nil, err
		}
	}
	return newJobAgent(ctx, tx, p)
}

func newJobAgent(ctx context.Context, tx bun.Tx, p *Job) (*Agent, error) {
	a := &Agent{
		CompanyID:       p.CompanyID,
		Name:            p.Title,
		Type:            Online,
		Focus:           jobAgentFocus,
		Language:        jobAgentLanguage,
		DurationMinutes: jobAgentMinutes,
	}
	err := tx.NewRaw(questionTexts, p.ID).Scan(ctx, &a.Questions)
	if err != nil {
		return nil, fmt.Errorf("list job's questions: %w", err)
	}
	if err := CreateAgent(ctx, tx, a); err != nil {
		return nil, err
	}
	if _, err := tx.ExecContext(ctx, "UPDATE jobs SET agent_id = ? WHERE id = ?", a.ID, p.ID); err != nil {
		return nil, fmt.Errorf("set job's agent: %w", err)
	}
	p.AgentID = &a.ID
	return a, nil
}

const questionTexts = `SELECT text FROM questions WHERE job_id = ? AND deleted_at IS NULL ORDER BY position, id`

// SyncAgentQuestions copies the job's questions, in their order, to its agent, if it has one.
func SyncAgentQuestions(ctx context.Context, tx bun.Tx, p *Job) error {
	_, err := tx.ExecContext(ctx, `UPDATE agents SET updated_at = clock_timestamp(), questions = (
			SELECT COALESCE(jsonb_agg(q.text ORDER BY q.position, q.id), '[]') FROM questions q WHERE q.job_id = ?0 AND q.deleted_at IS NULL)
		WHERE id = (SELECT agent_id FROM jobs WHERE id = ?0)`, p.ID)
	if err != nil {
		return fmt.Errorf("update job's agent: %w", err)
	}
	return nil
}
