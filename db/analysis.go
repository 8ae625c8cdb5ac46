package db

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/db/catalog"
	"greenroom/db/delivery"
	"greenroom/db/pg"
)

// Analysis is the evaluation of a completed interview, as the analyser or a client supplied it. Greenroom adds nothing
// to it.
type Analysis struct {
	bun.BaseModel `bun:"table:analyses,alias:an"`

	ID          uuid.UUID       `bun:"id,pk"`
	InterviewID uuid.UUID       `bun:"interview_id"`
	CompanyID   uuid.UUID       `bun:"company_id"`
	CandidateID uuid.UUID       `bun:"candidate_id"`
	Status      string          `bun:"status"`
	General     json.RawMessage `bun:"general,type:jsonb"`
	Specific    json.RawMessage `bun:"specific,type:jsonb"`
	Error       *string         `bun:"error"`
	CreatedAt   time.Time       `bun:"created_at"`
	UpdatedAt   time.Time       `bun:"updated_at"`
}

// CompleteAnalysis stores the analysis of a completed interview, with the events interview.completed and
// analysis.completed. It is accepted while the analysis is pending or after it timed out. A second one, and that of a
// deleted interview, is a StateError.
func CompleteAnalysis(
	ctx context.Context,
	tx bun.Tx,
	interview uuid.UUID,
	general, specific json.RawMessage,
) (*Analysis, error) {
	// The candidate before the interview, as in DeleteCandidate: otherwise the two could deadlock.
	if err := rateCandidate(ctx, tx, interview, general); err != nil {
		return nil, err
	}
	i, err := endAnalysis(ctx, tx, interview, AnalysisCompleted, []string{AnalysisPending, AnalysisFailed})
	if err != nil {
		return nil, fmt.Errorf("complete analysis: %w", err)
	}
	if i.DeletedAt != nil { // the person may have been erased while this transaction waited for the candidate
		return nil, &pg.StateError{Resource: "interview", State: "deleted"}
	}
	a := &Analysis{General: general, Specific: specific, Status: AnalysisCompleted}
	if err := putAnalysis(ctx, tx, i, a); err != nil {
		return nil, err
	}
	if err := recordInterview(ctx, tx, i, nil, catalog.InterviewCompleted); err != nil {
		return nil, err
	}
	result := map[string]any{"id": a.ID, "general": orNull(general), "specific": orNull(specific)}
	return a, recordInterview(ctx, tx, i, map[string]any{"analysis": result}, catalog.AnalysisCompleted)
}

// FailAnalysis fails a pending analysis, with the event analysis.failed.
func FailAnalysis(ctx context.Context, tx bun.Tx, interview uuid.UUID, message string) error {
	i, err := endAnalysis(ctx, tx, interview, AnalysisFailed, []string{AnalysisPending})
	if err != nil {
		return fmt.Errorf("fail analysis: %w", err)
	}
	if err := putAnalysis(ctx, tx, i, &Analysis{Status: AnalysisFailed, Error: &message}); err != nil {
		return err
	}
	return recordInterview(ctx, tx, i, map[string]any{"errorMessage": message}, catalog.AnalysisFailed)
}

func endAnalysis(ctx context.Context, tx bun.Tx, interview uuid.UUID, to string, from []string) (*Interview, error) {
	i := new(Interview)
	err := tx.NewRaw(`UPDATE interviews SET analysis_status = ?, analysis_due_at = NULL, updated_at = clock_timestamp()
		WHERE id = ? AND status = 'COMPLETED' AND analysis_status IN (?) RETURNING
		*`, to, interview, bun.List(from)).Scan(ctx, i)
	if err = pg.Translate(err); err == nil {
		return i, delivery.AddCommand(ctx, tx, InterviewChanged, interview, nil)
	}
	if !errors.Is(err, pg.ErrNotFound) {
		return nil, err
	}
	var status, analysis string
	if err := tx.NewRaw("SELECT status, COALESCE(analysis_status, '') FROM interviews WHERE id = ?", interview).
		Scan(ctx, &status, &analysis); err != nil {
		return nil, pg.Translate(err)
	}
	if analysis != "" {
		return nil, &pg.StateError{Resource: "analysis", State: analysis}
	}
	return nil, &pg.StateError{Resource: "interview", State: status}
}

func putAnalysis(ctx context.Context, tx bun.Tx, i *Interview, a *Analysis) error {
	a.ID, a.InterviewID, a.CompanyID, a.CandidateID = pg.NewID(), i.ID, i.CompanyID, i.CandidateID
	a.CreatedAt = time.Now().UTC()
	a.UpdatedAt = a.CreatedAt
	_, err := tx.NewInsert().Model(a).On("CONFLICT (interview_id) DO UPDATE").
		Set("status = EXCLUDED.status, general = EXCLUDED.general, specific = EXCLUDED.specific, error = EXCLUDED.error, " +
			"updated_at = EXCLUDED.updated_at").
		Returning("id, created_at").Exec(ctx)
	if err != nil {
		return fmt.Errorf("store analysis: %w", pg.Translate(err))
	}
	return nil
}

// rateCandidate copies the overall rating of the newest analysis that has one.
func rateCandidate(ctx context.Context, tx bun.Tx, interview uuid.UUID, general json.RawMessage) error {
	var rated struct {
		OverallRating *float64 `json:"overallRating"`
	}
	if json.Unmarshal(general, &rated) != nil || rated.OverallRating == nil {
		return nil // an analyser may rate in another way, or not at all
	}
	_, err := tx.ExecContext(ctx, `UPDATE candidates SET overall_rating = ?
		WHERE id = (SELECT candidate_id FROM interviews WHERE id = ?)`, *rated.OverallRating, interview)
	if err != nil {
		return fmt.Errorf("rate candidate: %w", err)
	}
	return nil
}

func orNull(j json.RawMessage) json.RawMessage {
	if len(j) == 0 {
		return json.RawMessage("null")
	}
	return j
}

// GetAnalysis returns the analysis of an interview.
func GetAnalysis(ctx context.Context, db bun.IDB, interview uuid.UUID) (*Analysis, error) {
	a := new(Analysis)
	if err := db.NewSelect().Model(a).Where("an.interview_id = ?", interview).Scan(ctx); err != nil {
		return nil, fmt.Errorf("get analysis: %w", pg.Translate(err))
	}
	return a, nil
}

// AnalysesOf returns the analyses of the interviews that have one.
func AnalysesOf(ctx context.Context, db bun.IDB, interviews ...uuid.UUID) ([]Analysis, error) {
	as := []Analysis{}
	if len(interviews) == 0 {
		return as, nil
	}
	err := db.NewSelect().Model(&as).Where("an.interview_id IN (?)", bun.List(interviews)).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("list analyses: %w", err)
	}
	return as, nil
}

// ListAnalyses returns one page of a candidate's analyses, newest first, and the total. It omits those of deleted
// interviews.
func ListAnalyses(ctx context.Context, db bun.IDB, candidate uuid.UUID, p pg.Page) ([]Analysis, int64, error) {
	as := []Analysis{}
	total, err := db.NewSelect().Model(&as).Where("an.candidate_id = ?", candidate).
		Where("EXISTS (SELECT 1 FROM interviews i WHERE i.id = an.interview_id AND i.deleted_at IS NULL)").
		Order("an.id DESC").Limit(p.Limit).Offset(p.Offset).ScanAndCount(ctx)
	if err != nil {
		return nil, 0, fmt.Errorf("list analyses: %w", err)
	}
	return as, total, nil
}
