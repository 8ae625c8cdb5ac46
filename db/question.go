package db

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/db/pg"
)

// Question is a question of a job. The job's agent asks them by position, and by age within a position.
type Question struct {
	bun.BaseModel `bun:"table:questions,alias:q"`

	ID        uuid.UUID `bun:"id,pk"`
	Number    int64     `bun:"number,autoincrement"`
	CompanyID uuid.UUID `bun:"company_id"`
	JobID     uuid.UUID `bun:"job_id"`
	Position  int       `bun:"position"`
	Text      string    `bun:"text"`
	// Suite has the fields that only the interview suite's contract has.
	Suite     QuestionSuite `bun:"suite,type:jsonb"`
	CreatedAt time.Time     `bun:"created_at"`
	UpdatedAt time.Time     `bun:"updated_at"`
	DeletedAt *time.Time    `bun:"deleted_at"`
}

// QuestionSuite has the limits of a recorded answer: times in seconds, nil for no limit. The stored names must not
// change, since rows outlive versions.
type QuestionSuite struct {
	MaxAnswerTime   *int `json:"max_answer_time,omitempty"`
	PreparationTime *int `json:"preparation_time,omitempty"`
}

// MaxQuestions is the maximum per job. It equals the maximum of an agent, which asks them.
const MaxQuestions = 50

// ErrQuestions says that the job has the maximum number of questions.
var ErrQuestions = errors.New("a job has at most 50 questions")

// CreateQuestion stores a new question of a job. Position 0 appends it (several questions may share 10,000, the last
// position that a client may name). More than MaxQuestions is ErrQuestions.
func CreateQuestion(ctx context.Context, tx bun.Tx, job *Job, q *Question) error {
	// Serialises changes of the job's questions.
	if err := Lock(ctx, tx, "jobs", job.ID); err != nil {
		return err
	}
	var count, next int
	err := tx.NewRaw("SELECT count(*), LEAST(COALESCE(max(position), 0) + 1, 10000) FROM questions "+
		"WHERE job_id = ? AND deleted_at IS NULL", job.ID).
		Scan(ctx, &count, &next)
	if err != nil {
		return fmt.Errorf("find question's position: %w", err)
	}
	if count >= MaxQuestions {
		return ErrQuestions
	}
	if q.Position == 0 {
		q.Position = next
	}
	q.ID, q.CompanyID, q.JobID, q.CreatedAt = pg.NewID(), job.CompanyID, job.ID, now()
	q.UpdatedAt = q.CreatedAt
	if _, err := tx.NewInsert().Model(q).Exec(ctx); err != nil {
		return fmt.Errorf("insert question: %w", pg.Translate(err))
	}
	return SyncAgentQuestions(ctx, tx, job)
}

// QuestionByNumber returns a question of a job, unless it was deleted.
func QuestionByNumber(ctx context.Context, db bun.IDB, job uuid.UUID, number int64) (*Question, error) {
	q := new(Question)
	err := db.NewSelect().Model(q).Where("q.number = ? AND q.job_id = ? AND q.deleted_at IS NULL", number, job).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("get question: %w", pg.Translate(err))
	}
	return q, nil
}

// ListQuestions returns one page of a job's questions, in their order, and the total.
func ListQuestions(ctx context.Context, db bun.IDB, job uuid.UUID, p pg.Page) ([]Question, int64, error) {
	qs := []Question{}
	total, err := db.NewSelect().
		Model(&qs).
		Where("q.job_id = ? AND q.deleted_at IS NULL", job).
		Order("q.position", "q.id").
		Limit(p.Limit).
		Offset(p.Offset).
		ScanAndCount(ctx)
	if err != nil {
		return nil, 0, fmt.Errorf("list questions: %w", err)
	}
	return qs, total, nil
}

// UpdateQuestion writes the named columns of a job's question.
func UpdateQuestion(ctx context.Context, tx bun.Tx, job *Job, q *Question, columns ...string) error {
	if err := Lock(ctx, tx, "jobs", job.ID); err != nil {
		return err
	}
	q.UpdatedAt = now()
	err := pg.One(tx.NewUpdate().Model(q).Column(append(slices.Clone(columns), "updated_at")...).
		Where("id = ? AND deleted_at IS NULL", q.ID).Exec(ctx))
	if err != nil {
		return fmt.Errorf("update question: %w", pg.Translate(err))
	}
	return SyncAgentQuestions(ctx, tx, job)
}

// DeleteQuestion soft-deletes a question of a job. A question with answers or ratings is a StateError, because they
// refer to it.
func DeleteQuestion(ctx context.Context, tx bun.Tx, job *Job, id uuid.UUID) error {
	if err := Lock(ctx, tx, "jobs", job.ID); err != nil {
		return err
	}
	// New answers and ratings lock this row too (lockQuestionShared).
	if err := softDelete(ctx, tx, "questions", id); err != nil {
		return fmt.Errorf("delete question: %w", err)
	}
	var used bool
	err := tx.NewRaw(`SELECT EXISTS (SELECT 1 FROM answer_videos WHERE job_id = ?0 AND question_id = ?1 AND deleted_at IS
		NULL)
		OR EXISTS (SELECT 1 FROM ratings WHERE question_id = ?1 AND deleted_at IS NULL)`, job.ID, id).
		Scan(ctx, &used)
	if err != nil {
		return fmt.Errorf("look for question's answers: %w", err)
	}
	if used {
		return &pg.StateError{Resource: "question", State: "in use"}
	}
	return SyncAgentQuestions(ctx, tx, job)
}

// lockQuestionShared keeps a question from being deleted until tx ends. A deleted question, or one of another job, is
// ErrNotFound.
func lockQuestionShared(ctx context.Context, tx bun.Tx, job, question uuid.UUID) error {
	var id uuid.UUID
	err := tx.NewRaw("SELECT id FROM questions WHERE id = ? AND job_id = ? AND deleted_at IS NULL "+
		"FOR SHARE", question, job).
		Scan(ctx, &id)
	if err != nil {
		return fmt.Errorf("hold question: %w", pg.Translate(err))
	}
	return nil
}
