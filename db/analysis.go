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
)

// Analysis is the evaluation of a completed interview, as the analysing service or a client gave it: nothing in it is made
// up here.
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
// analysis.completed. It is accepted while the analysis is pending and, late, after it timed out; not twice (StateError).
func CompleteAnalysis(ctx context.Context, tx bun.Tx, interview uuid.UUID, general, specific json.RawMessage) (*Analysis, error) {
	i, err := endAnalysis(ctx, tx, interview, AnalysisCompleted, []string{AnalysisPending, AnalysisFailed})
	if err != nil {
		return nil, fmt.Errorf("complete analysis: %w", err)
	}
	a := &Analysis{General: general, Specific: specific, Status: AnalysisCompleted}
	if err := putAnalysis(ctx, tx, i, a); err != nil {
		return nil, err
	}
	if err := recordInterview(ctx, tx, i, catalog.InterviewCompleted, nil); err != nil {
		return nil, err
	}
	result := map[string]any{"id": a.ID, "general": orNull(general), "specific": orNull(specific)}
	return a, recordInterview(ctx, tx, i, catalog.AnalysisCompleted, map[string]any{"analysis": result})
}

// FailAnalysis ends a pending analysis without a result, with analysis.failed.
func FailAnalysis(ctx context.Context, tx bun.Tx, interview uuid.UUID, message string) error {
	i, err := endAnalysis(ctx, tx, interview, AnalysisFailed, []string{AnalysisPending})
	if err != nil {
		return fmt.Errorf("fail analysis: %w", err)
	}
	if err := putAnalysis(ctx, tx, i, &Analysis{Status: AnalysisFailed, Error: &message}); err != nil {
		return err
	}
	return recordInterview(ctx, tx, i, catalog.AnalysisFailed, map[string]any{"errorMessage": message})
}

func endAnalysis(ctx context.Context, tx bun.Tx, interview uuid.UUID, to string, from []string) (*Interview, error) {
	i := new(Interview)
	err := tx.NewRaw(`UPDATE interviews SET analysis_status = ?, analysis_due_at = NULL, updated_at = clock_timestamp()
		WHERE id = ? AND status = 'COMPLETED' AND analysis_status IN (?) RETURNING *`, to, interview, bun.List(from)).Scan(ctx, i)
	if err = translate(err); err == nil {
		return i, AddCommand(ctx, tx, InterviewChanged, interview, nil)
	}
	if !errors.Is(err, ErrNotFound) {
		return nil, err
	}
	var status, analysis string
	if err := tx.NewRaw("SELECT status, COALESCE(analysis_status, '') FROM interviews WHERE id = ?", interview).
		Scan(ctx, &status, &analysis); err != nil {
		return nil, translate(err)
	}
	if analysis != "" {
		return nil, &StateError{Resource: "analysis", State: analysis}
	}
	return nil, &StateError{Resource: "interview", State: status}
}

func putAnalysis(ctx context.Context, tx bun.Tx, i *Interview, a *Analysis) error {
	a.ID, a.InterviewID, a.CompanyID, a.CandidateID = NewID(), i.ID, i.CompanyID, i.CandidateID
	a.CreatedAt = time.Now().UTC()
	a.UpdatedAt = a.CreatedAt
	_, err := tx.NewInsert().Model(a).On("CONFLICT (interview_id) DO UPDATE").
		Set("status = EXCLUDED.status, general = EXCLUDED.general, specific = EXCLUDED.specific, error = EXCLUDED.error, updated_at = EXCLUDED.updated_at").
		Returning("id, created_at").Exec(ctx)
	if err != nil {
		return fmt.Errorf("store analysis: %w", translate(err))
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
		return nil, fmt.Errorf("get analysis: %w", translate(err))
	}
	return a, nil
}
