package db

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/db/catalog"
	"greenroom/db/pg"
)

// AnswerVideo is a candidate's recorded answer to a question of a job, at most one for each question. The media store
// has the file.
type AnswerVideo struct {
	bun.BaseModel `bun:"table:answer_videos,alias:v"`

	ID          uuid.UUID `bun:"id,pk"`
	Number      int64     `bun:"number,autoincrement"`
	CompanyID   uuid.UUID `bun:"company_id"`
	JobID       uuid.UUID `bun:"job_id"`
	CandidateID uuid.UUID `bun:"candidate_id"`
	QuestionID  uuid.UUID `bun:"question_id"`
	// InterviewID is the interview that it records; nil: the recording was made elsewhere.
	InterviewID     *uuid.UUID `bun:"interview_id"`
	File            string     `bun:"file"`
	ContentType     string     `bun:"content_type"`
	Size            int64      `bun:"size"`
	DurationSeconds *int       `bun:"duration_seconds"`
	CreatedAt       time.Time  `bun:"created_at"`
	UpdatedAt       time.Time  `bun:"updated_at"`
	DeletedAt       *time.Time `bun:"deleted_at"`

	QuestionNumber int64 `bun:"question_number,scanonly"`
}

const answerQuestion = "(SELECT q.number FROM questions q WHERE q.id = v.question_id) AS question_number"

// PutAnswerVideo stores an answer, with the event answer_video.created, or replaces the existing one, with
// answer_video.updated; created says which. v.File must be reserved (ReserveFile); the row refers to it from now on.
// With a nil v.InterviewID the answer belongs to the candidate's interview for the job, if there is one that was not
// canceled. An answer that belongs to an interview also has the event recording.completed. A missing candidate or
// question, or one of another job, is ErrNotFound.
func PutAnswerVideo(ctx context.Context, tx bun.Tx, v *AnswerVideo) (created bool, err error) {
	if err := lockAnswer(ctx, tx, v); err != nil {
		return false, err
	}
	if err := claimFile(ctx, tx, v.File); err != nil {
		return false, err
	}
	if v.InterviewID == nil {
		if v.InterviewID, err = interviewFor(ctx, tx, v.CandidateID, v.JobID); err != nil {
			return false, err
		}
	}
	if created, err = writeAnswer(ctx, tx, v); err != nil {
		return false, err
	}
	eventType := catalog.AnswerVideoUpdated
	if created {
		eventType = catalog.AnswerVideoCreated
	}
	if err := recordAnswer(ctx, tx, v, eventType, nil); err != nil {
		return false, err
	}
	return created, recordRecording(ctx, tx, v)
}

// lockAnswer locks the rows that an answer depends on. It serialises a candidate's answers, so that two uploads for one
// question end as one answer.
func lockAnswer(ctx context.Context, tx bun.Tx, v *AnswerVideo) error {
	var id uuid.UUID
	err := tx.NewRaw(`SELECT c.id FROM candidates c JOIN candidate_jobs cj ON cj.candidate_id = c.id AND cj.job_id = ?
		WHERE c.id = ? AND c.deleted_at IS NULL FOR NO KEY UPDATE OF c`, v.JobID, v.CandidateID).Scan(ctx, &id)
	if err != nil {
		return fmt.Errorf("lock candidate: %w", pg.Translate(err))
	}
	return lockQuestionShared(ctx, tx, v.JobID, v.QuestionID)
}

// interviewFor returns the interview that an answer without one belongs to: the one in progress, else the newest.
func interviewFor(ctx context.Context, db bun.IDB, candidate, job uuid.UUID) (*uuid.UUID, error) {
	var id uuid.UUID
	err := db.NewRaw(`SELECT id FROM interviews WHERE candidate_id = ? AND job_id = ? AND status <> 'CANCELED' AND deleted_at IS NULL
		ORDER BY status = 'IN_PROGRESS' DESC, id DESC LIMIT 1`, candidate, job).
		Scan(ctx, &id)
	switch err = pg.Translate(err); {
	case errors.Is(err, pg.ErrNotFound):
		return nil, nil //nolint:nilnil // none is an ordinary answer
	case err != nil:
		return nil, fmt.Errorf("find answer's interview: %w", err)
	}
	return &id, nil
}

func writeAnswer(ctx context.Context, tx bun.Tx, v *AnswerVideo) (created bool, err error) {
	v.ID, v.CreatedAt = pg.NewID(), now()
	v.UpdatedAt = v.CreatedAt
	err = tx.NewRaw(`INSERT INTO answer_videos (id, company_id, job_id, candidate_id, question_id, interview_id, file, content_type, size,
			duration_seconds, created_at, updated_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (job_id, candidate_id, question_id) WHERE deleted_at IS NULL DO UPDATE SET
			interview_id = EXCLUDED.interview_id, file = EXCLUDED.file, content_type = EXCLUDED.content_type, size = EXCLUDED.size,
			duration_seconds = EXCLUDED.duration_seconds, updated_at = EXCLUDED.updated_at
		RETURNING id, number, created_at, (SELECT q.number FROM questions q WHERE q.id = question_id) AS question_number`,
		v.ID, v.CompanyID, v.JobID, v.CandidateID, v.QuestionID, v.InterviewID, v.File, v.ContentType, v.Size,
		v.DurationSeconds, v.CreatedAt, v.UpdatedAt).
		Scan(ctx, &v.ID, &v.Number, &v.CreatedAt, &v.QuestionNumber)
	if err != nil {
		return false, fmt.Errorf("write answer video: %w", pg.Translate(err))
	}
	return v.CreatedAt.Equal(v.UpdatedAt), nil
}

// AnswerVideoByNumber returns a candidate's answer to a question of a job, unless it was deleted.
func AnswerVideoByNumber(
	ctx context.Context,
	db bun.IDB,
	job, candidate uuid.UUID,
	number int64,
) (*AnswerVideo, error) {
	v := new(AnswerVideo)
	err := db.NewSelect().Model(v).ColumnExpr("v.*").ColumnExpr(answerQuestion).
		Where("v.number = ? AND v.job_id = ? AND v.candidate_id = ? AND v.deleted_at IS NULL", number, job, candidate).
		Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("get answer video: %w", pg.Translate(err))
	}
	return v, nil
}

// ListAnswerVideos returns one page of a candidate's answers for a job, in the order of the questions, and the total.
func ListAnswerVideos(
	ctx context.Context,
	db bun.IDB,
	job, candidate uuid.UUID,
	p pg.Page,
) ([]AnswerVideo, int64, error) {
	vs := []AnswerVideo{}
	total, err := db.NewSelect().Model(&vs).ColumnExpr("v.*").ColumnExpr(answerQuestion).
		Where("v.job_id = ? AND v.candidate_id = ? AND v.deleted_at IS NULL", job, candidate).
		OrderExpr("(SELECT q.position FROM questions q WHERE q.id = v.question_id), v.question_id").
		Limit(p.Limit).Offset(p.Offset).ScanAndCount(ctx)
	if err != nil {
		return nil, 0, fmt.Errorf("list answer videos: %w", err)
	}
	return vs, total, nil
}

// UpdateAnswerVideo writes the named columns of v, with the event answer_video.updated. Only PutAnswerVideo replaces
// the file.
func UpdateAnswerVideo(ctx context.Context, tx bun.Tx, v *AnswerVideo, columns ...string) error {
	v.UpdatedAt = now()
	err := pg.One(tx.NewUpdate().Model(v).Column(append(slices.Clone(columns), "updated_at")...).
		Where("id = ? AND deleted_at IS NULL", v.ID).Exec(ctx))
	if err != nil {
		return fmt.Errorf("update answer video: %w", pg.Translate(err))
	}
	return recordAnswer(ctx, tx, v, catalog.AnswerVideoUpdated, columns)
}

// DeleteAnswerVideo soft-deletes an answer; its file will be deleted. Its ratings and notes stay with the candidate.
func DeleteAnswerVideo(ctx context.Context, tx bun.Tx, v *AnswerVideo) error {
	if err := softDelete(ctx, tx, "answer_videos", v.ID); err != nil {
		return fmt.Errorf("delete answer video: %w", err)
	}
	return detachAnswers(ctx, tx, v.JobID, v.CandidateID, v.ID)
}

// detachAnswers removes the reference to deleted answers from ratings and notes, which stay with the candidate.
func detachAnswers(ctx context.Context, tx bun.Tx, job, candidate uuid.UUID, videos ...uuid.UUID) error {
	if len(videos) == 0 {
		return nil
	}
	for _, table := range []string{"ratings", "notes"} {
		_, err := tx.ExecContext(
			ctx,
			"UPDATE ? SET answer_video_id = NULL WHERE candidate_id = ? AND job_id = ? AND answer_video_id IN (?)",
			bun.Ident(table),
			candidate,
			job,
			bun.List(videos),
		)
		if err != nil {
			return fmt.Errorf("detach %s from answer video: %w", table, err)
		}
	}
	return nil
}

// DeleteAnswerVideosOf soft-deletes a candidate's answers for a job that the candidate was removed from; their files
// will be deleted. Deleting a candidate does not need it.
func DeleteAnswerVideosOf(ctx context.Context, tx bun.Tx, job, candidate uuid.UUID) error {
	var gone []uuid.UUID
	err := tx.NewRaw(`UPDATE answer_videos SET deleted_at = now(), updated_at = now()
		WHERE job_id = ? AND candidate_id = ? AND deleted_at IS NULL RETURNING id`, job, candidate).Scan(ctx, &gone)
	if err != nil {
		return fmt.Errorf("delete answer videos: %w", err)
	}
	return detachAnswers(ctx, tx, job, candidate, gone...)
}

// lockAnswerVideoShared keeps an answer from being deleted until tx ends. A deleted answer, or one of another
// candidate, is ErrNotFound.
func lockAnswerVideoShared(ctx context.Context, tx bun.Tx, job, candidate, video uuid.UUID) error {
	var id uuid.UUID
	err := tx.NewRaw(`SELECT id FROM answer_videos WHERE id = ? AND job_id = ? AND candidate_id = ? AND deleted_at IS NULL FOR SHARE`,
		video, job, candidate).
		Scan(ctx, &id)
	if err != nil {
		return fmt.Errorf("hold answer video: %w", pg.Translate(err))
	}
	return nil
}

type answerData struct {
	AnswerVideoID uuid.UUID  `json:"answerVideoId"`
	CandidateID   uuid.UUID  `json:"candidateId"`
	JobID         uuid.UUID  `json:"jobId"`
	QuestionID    uuid.UUID  `json:"questionId"`
	InterviewID   *uuid.UUID `json:"interviewId"`
}

func recordAnswer(ctx context.Context, tx bun.Tx, v *AnswerVideo, eventType string, changed []string) error {
	data, err := json.Marshal(answerData{v.ID, v.CandidateID, v.JobID, v.QuestionID, v.InterviewID})
	if err != nil {
		return fmt.Errorf("encode answer video event: %w", err)
	}
	return recordAbout(ctx, tx, About{
		Company:     v.CompanyID,
		Work:        &v.JobID,
		Candidate:   &v.CandidateID,
		Interview:   v.InterviewID,
		Question:    &v.QuestionID,
		AnswerVideo: &v.ID,
		Changed:     changed,
	}, data, eventType)
}

// recordRecording records the event recording.completed.
func recordRecording(ctx context.Context, tx bun.Tx, v *AnswerVideo) error {
	if v.InterviewID == nil {
		return nil
	}
	i, err := GetInterview(ctx, tx, pg.Scope{Company: &v.CompanyID}, *v.InterviewID)
	if err != nil {
		return err
	}
	return recordInterview(ctx, tx, i, map[string]any{"answerVideoId": v.ID}, catalog.RecordingCompleted)
}

// AnswerVideoFile returns the file name of an answer video in the media store, and its content type.
func AnswerVideoFile(ctx context.Context, db bun.IDB, video uuid.UUID) (name, contentType string, err error) {
	err = db.NewRaw("SELECT file, content_type FROM answer_videos WHERE id = ? AND deleted_at IS NULL", video).
		Scan(ctx, &name, &contentType)
	if err != nil {
		return "", "", fmt.Errorf("get answer video: %w", pg.Translate(err))
	}
	return name, contentType, nil
}
