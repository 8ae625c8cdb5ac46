package db

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/db/delivery"
	"greenroom/db/pg"
)

// Generation is a request for an AI interview made from a role and its description.
type Generation struct {
	bun.BaseModel `bun:"table:generations,alias:g"`

	ID              uuid.UUID        `bun:"id,pk"`
	CompanyID       uuid.UUID        `bun:"company_id"`
	JobRole         string           `bun:"job_role"`
	JobDescription  string           `bun:"job_description"`
	NotificationURL *string          `bun:"notification_url"`
	Status          GenerationStatus `bun:"status"`
	// JobID is the job that was created.
	JobID *uuid.UUID `bun:"job_id"`
	// Questions is the number of questions from the generator; nil: no generator was asked.
	Questions *int      `bun:"questions"`
	Error     *string   `bun:"error"`
	CreatedAt time.Time `bun:"created_at"`
	UpdatedAt time.Time `bun:"updated_at"`

	// JobNumber is that job's number.
	JobNumber *int64 `bun:"job_number,scanonly"`
}

// GenerationStatus is the status of a generation.
type GenerationStatus string

// The statuses of a generation.
const (
	GenerationPending   GenerationStatus = "pending"
	GenerationCompleted GenerationStatus = "completed"
	GenerationFailed    GenerationStatus = "failed"
)

// Message describes the status in a sentence.
func (g *Generation) Message() string {
	switch {
	case g.Status == GenerationFailed && g.JobID != nil:
		return "The AI interview was created, but without questions"
	case g.Status == GenerationFailed:
		return "The AI interview could not be created"
	case g.Status == GenerationCompleted && g.Questions != nil:
		return "The AI interview is ready"
	case g.Status == GenerationCompleted:
		return "The AI interview was created without questions: no generator is configured"
	case g.JobID != nil:
		return "The AI interview was created; its questions are being written"
	}
	return "The AI interview is being created"
}

// CreateGeneration stores a new, pending generation; its workflow starts when tx commits.
func CreateGeneration(ctx context.Context, tx bun.Tx, g *Generation) error {
	g.ID, g.Status, g.CreatedAt = pg.NewID(), GenerationPending, now()
	g.UpdatedAt = g.CreatedAt
	if _, err := tx.NewInsert().Model(g).Exec(ctx); err != nil {
		return fmt.Errorf("insert generation: %w", pg.Translate(err))
	}
	return delivery.AddCommand(ctx, tx, GenerationRequested, g.ID, nil)
}

// GetGeneration returns a generation of any company.
func GetGeneration(ctx context.Context, db bun.IDB, id uuid.UUID) (*Generation, error) {
	g := new(Generation)
	err := db.NewSelect().Model(g).ColumnExpr("g.*").
		ColumnExpr("(SELECT j.number FROM jobs j WHERE j.id = g.job_id) AS job_number").Where("g.id = ?", id).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("get generation: %w", pg.Translate(err))
	}
	return g, nil
}

// CreateGenerated creates the job of a generation and its agent. It is idempotent.
func CreateGenerated(ctx context.Context, tx bun.Tx, id uuid.UUID) error {
	g, err := lockGeneration(ctx, tx, id)
	if err != nil || g.JobID != nil {
		return err
	}
	job := &Job{CompanyID: g.CompanyID, Title: g.JobRole, Description: &g.JobDescription}
	if err := CreateJob(ctx, tx, job); err != nil {
		return err
	}
	if _, err := EnsureJobAgent(ctx, tx, job); err != nil {
		return err
	}
	g.JobID = &job.ID
	return updateGeneration(ctx, tx, g, "job_id")
}

func lockGeneration(ctx context.Context, tx bun.Tx, id uuid.UUID) (*Generation, error) {
	g := new(Generation)
	if err := tx.NewSelect().Model(g).Where("g.id = ?", id).For("UPDATE").Scan(ctx); err != nil {
		return nil, fmt.Errorf("lock generation: %w", pg.Translate(err))
	}
	return g, nil
}

func updateGeneration(ctx context.Context, tx bun.Tx, g *Generation, columns ...string) error {
	g.UpdatedAt = now()
	if _, err := tx.NewUpdate().Model(g).Column(append(columns, "updated_at")...).WherePK().Exec(ctx); err != nil {
		return fmt.Errorf("update generation: %w", err)
	}
	return nil
}

// KeepQuestions adds the generator's questions to the generation's job, once, unless the job has questions by then.
func KeepQuestions(ctx context.Context, tx bun.Tx, id uuid.UUID, questions []string) error {
	g, err := lockGeneration(ctx, tx, id)
	if err != nil || g.Questions != nil || g.JobID == nil {
		return err
	}
	n := len(questions)
	g.Questions = &n
	if err := updateGeneration(ctx, tx, g, "questions"); err != nil {
		return err
	}
	list, err := json.Marshal(notNil(questions))
	if err != nil {
		return fmt.Errorf("encode questions: %w", err)
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO questions (id, company_id, job_id, position, text)
		SELECT uuid_v7(), ?0, ?1, q.n, q.text FROM jsonb_array_elements_text(?2::jsonb) WITH ORDINALITY AS q (text, n)
		WHERE NOT EXISTS (SELECT 1 FROM questions x WHERE x.job_id = ?1 AND x.deleted_at IS NULL)`, g.CompanyID, *g.JobID, string(list))
	if err != nil {
		return fmt.Errorf("insert questions: %w", err)
	}
	return SyncAgentQuestions(ctx, tx, &Job{ID: *g.JobID})
}

// EndGeneration ends a pending generation: failed when there is a reason, else completed. An ended one does not change.
func EndGeneration(ctx context.Context, tx bun.Tx, id uuid.UUID, reason string) error {
	g, err := lockGeneration(ctx, tx, id)
	if err != nil || g.Status != GenerationPending {
		return err
	}
	g.Status = GenerationCompleted
	if reason != "" {
		g.Status, g.Error = GenerationFailed, &reason
	}
	return updateGeneration(ctx, tx, g, "status", "error")
}
