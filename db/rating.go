package db

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/db/catalog"
	"greenroom/db/pg"
)

// Rating rates a candidate for a job: overall, for one question or answer, or by one criterion.
type Rating struct {
	bun.BaseModel `bun:"table:ratings,alias:r"`

	ID          uuid.UUID `bun:"id,pk"`
	Number      int64     `bun:"number,autoincrement"`
	CompanyID   uuid.UUID `bun:"company_id"`
	JobID       uuid.UUID `bun:"job_id"`
	CandidateID uuid.UUID `bun:"candidate_id"`
	// StaffID is the rater; nil: a client with a key of the company.
	StaffID       *uuid.UUID `bun:"staff_id"`
	QuestionID    *uuid.UUID `bun:"question_id"`
	AnswerVideoID *uuid.UUID `bun:"answer_video_id"`
	Criterion     *string    `bun:"criterion"`
	Value         float64    `bun:"value"`
	// Ignored ratings are shown but do not count.
	Ignored   bool       `bun:"ignored"`
	CreatedAt time.Time  `bun:"created_at"`
	UpdatedAt time.Time  `bun:"updated_at"`
	DeletedAt *time.Time `bun:"deleted_at"`

	StaffNumber       *int64 `bun:"staff_number,scanonly"`
	QuestionNumber    *int64 `bun:"question_number,scanonly"`
	AnswerVideoNumber *int64 `bun:"answer_video_number,scanonly"`
}

const ratingNumbers = `(SELECT s.number FROM staff s WHERE s.id = r.staff_id) AS staff_number,
	(SELECT q.number FROM questions q WHERE q.id = r.question_id) AS question_number,
	(SELECT v.number FROM answer_videos v WHERE v.id = r.answer_video_id) AS answer_video_number`

// CreateRating stores a new rating, with the event rating.created. A deleted candidate, or a question or answer that is
// not of this job and candidate, is ErrNotFound.
func CreateRating(ctx context.Context, tx bun.Tx, r *Rating) error {
	if err := lockRatedShared(ctx, tx, r); err != nil {
		return err
	}
	r.ID, r.CreatedAt = pg.NewID(), now()
	r.UpdatedAt = r.CreatedAt
	if _, err := tx.NewInsert().Model(r).Exec(ctx); err != nil {
		return fmt.Errorf("insert rating: %w", pg.Translate(err))
	}
	return recordRating(ctx, tx, r, catalog.RatingCreated, nil)
}

// lockRatedShared keeps the rows that a rating is about from being deleted until tx ends.
func lockRatedShared(ctx context.Context, tx bun.Tx, r *Rating) error {
	if err := lockCandidateShared(ctx, tx, r.CandidateID); err != nil {
		return err
	}
	if r.QuestionID != nil {
		if err := lockQuestionShared(ctx, tx, r.JobID, *r.QuestionID); err != nil {
			return err
		}
	}
	if r.AnswerVideoID != nil {
		return lockAnswerVideoShared(ctx, tx, r.JobID, r.CandidateID, *r.AnswerVideoID)
	}
	return nil
}

// RatingByNumber returns a rating of a candidate for a job, unless it was deleted.
func RatingByNumber(ctx context.Context, db bun.IDB, job, candidate uuid.UUID, number int64) (*Rating, error) {
	r := new(Rating)
	err := db.NewSelect().Model(r).ColumnExpr("r.*").ColumnExpr(ratingNumbers).
		Where("r.number = ? AND r.job_id = ? AND r.candidate_id = ? AND r.deleted_at IS NULL", number, job, candidate).
		Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("get rating: %w", pg.Translate(err))
	}
	return r, nil
}

// ListRatings returns one page of a candidate's ratings for a job, oldest first, and the total.
func ListRatings(ctx context.Context, db bun.IDB, job, candidate uuid.UUID, p pg.Page) ([]Rating, int64, error) {
	rs := []Rating{}
	total, err := db.NewSelect().Model(&rs).ColumnExpr("r.*").ColumnExpr(ratingNumbers).
		Where("r.job_id = ? AND r.candidate_id = ? AND r.deleted_at IS NULL", job, candidate).Order("r.id").
		Limit(p.Limit).Offset(p.Offset).ScanAndCount(ctx)
	if err != nil {
		return nil, 0, fmt.Errorf("list ratings: %w", err)
	}
	return rs, total, nil
}

// UpdateRating writes the named columns of r, with the event rating.updated. It checks the same rows as CreateRating.
func UpdateRating(ctx context.Context, tx bun.Tx, r *Rating, columns ...string) error {
	if err := lockRatedShared(ctx, tx, r); err != nil {
		return err
	}
	r.UpdatedAt = now()
	err := pg.One(tx.NewUpdate().Model(r).Column(append(slices.Clone(columns), "updated_at")...).
		Where("id = ? AND deleted_at IS NULL", r.ID).Exec(ctx))
	if err != nil {
		return fmt.Errorf("update rating: %w", pg.Translate(err))
	}
	return recordRating(ctx, tx, r, catalog.RatingUpdated, columns)
}

// DeleteRating soft-deletes a rating.
func DeleteRating(ctx context.Context, db bun.IDB, id uuid.UUID) error {
	if err := softDelete(ctx, db, "ratings", id); err != nil {
		return fmt.Errorf("delete rating: %w", err)
	}
	return nil
}

type ratingData struct {
	RatingID      uuid.UUID  `json:"ratingId"`
	CandidateID   uuid.UUID  `json:"candidateId"`
	JobID         uuid.UUID  `json:"jobId"`
	QuestionID    *uuid.UUID `json:"questionId"`
	AnswerVideoID *uuid.UUID `json:"answerVideoId"`
	StaffID       *uuid.UUID `json:"staffId"`
}

// recordRating records ids only. A receiver that may see ratings reads the API.
func recordRating(ctx context.Context, tx bun.Tx, r *Rating, eventType string, changed []string) error {
	data, err := json.Marshal(ratingData{r.ID, r.CandidateID, r.JobID, r.QuestionID, r.AnswerVideoID, r.StaffID})
	if err != nil {
		return fmt.Errorf("encode rating event: %w", err)
	}
	return recordAbout(ctx, tx, About{
		Company: r.CompanyID, Work: &r.JobID, Candidate: &r.CandidateID, Question: r.QuestionID, AnswerVideo: r.AnswerVideoID,
		Rating: &r.ID, Staff: r.StaffID, Changed: changed,
	}, data, eventType)
}

// Raters returns the raters of each candidate for a job: the numbers of staff users, and 0 for clients with a key of
// the company.
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

// Criteria returns the criteria by which candidates for a job were rated, in alphabetical order.
func Criteria(ctx context.Context, db bun.IDB, job uuid.UUID) ([]string, error) {
	names := []string{}
	err := db.NewRaw("SELECT DISTINCT criterion FROM ratings WHERE job_id = ? AND criterion IS NOT NULL AND deleted_at IS NULL ORDER BY 1", job).
		Scan(ctx, &names)
	if err != nil {
		return nil, fmt.Errorf("list criteria: %w", err)
	}
	return names, nil
}
