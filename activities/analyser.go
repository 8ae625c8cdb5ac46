package activities

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/db"
	"greenroom/db/pg"
)

// RequestAnalysis asks the analyser about a completed interview. A result in its answer is stored, a refusal fails the
// analysis with the analyser's own words, and 202 means that the result will come by call-back. An error means that another
// try may do better. An interview whose analysis is not pending any more is left alone.
func (a *Activities) RequestAnalysis(ctx context.Context, interview uuid.UUID) error {
	body, pending, err := a.prepareAnalysis(ctx, interview)
	if err != nil || !pending {
		return err
	}
	got, err := a.ask(ctx, inquiry{
		to: a.Analyser, name: "the analyser", method: http.MethodPost, path: "/analyses", body: body, about: interview,
	})
	switch {
	case err != nil:
		return err
	case got.status == http.StatusAccepted:
		return nil
	case !got.taken():
		return a.refuseAnalysis(ctx, interview, got.refusal())
	}
	return a.keepAnalysis(ctx, interview, got.body)
}

// analysisRequest is the body of the analyser's POST /analyses.
type analysisRequest struct {
	InterviewID    uuid.UUID       `json:"interviewId" bun:"interview_id"`
	JobTitle       string          `json:"jobTitle" bun:"job_title"`
	JobDescription string          `json:"jobDescription" bun:"job_description"`
	RequiredSkills []string        `json:"requiredSkills" bun:"required_skills,array"`
	Transcript     json.RawMessage `json:"transcript" bun:"transcript"`
	Answers        json.RawMessage `json:"answers" bun:"answers"`
	CallbackURL    string          `json:"callbackUrl" bun:"-"`
}

func (a *Activities) prepareAnalysis(ctx context.Context, interview uuid.UUID) (body analysisRequest, pending bool, err error) {
	pending, err = scanned(a.DB.NewRaw(`SELECT i.id AS interview_id, COALESCE(j.title, '') AS job_title,
		COALESCE(j.description, '') AS job_description, COALESCE(j.required_skills, '{}') AS required_skills, i.transcript, i.answers
		FROM interviews i LEFT JOIN jobs j ON j.id = i.job_id
		WHERE i.id = ? AND i.analysis_status = ? AND i.deleted_at IS NULL`, interview, db.AnalysisPending).Scan(ctx, &body))
	body.CallbackURL = a.callback("analyses", interview)
	return body, pending, wrap("prepare analysis", err)
}

// keepAnalysis stores a result as it is; what is no result is a refusal, for nothing may be made up in its place.
func (a *Activities) keepAnalysis(ctx context.Context, interview uuid.UUID, raw []byte) error {
	var result struct {
		General  json.RawMessage `json:"general"`
		Specific json.RawMessage `json:"specific"`
	}
	switch err := json.Unmarshal(raw, &result); {
	case len(raw) > maxAnswer:
		return a.refuseAnalysis(ctx, interview, fmt.Sprintf("the analyser's answer is longer than %d bytes", maxAnswer))
	case err != nil, !isObject(result.General):
		return a.refuseAnalysis(ctx, interview, `the analyser's answer is no analysis: it has no object "general"`)
	case bytes.Contains(raw, []byte(`\u0000`)): // PostgreSQL has no text with it
		return a.refuseAnalysis(ctx, interview, "the analyser's answer has a NUL character")
	case !isObject(result.Specific):
		result.Specific = nil
	}
	return wrap("keep analysis", unlessLost(pg.InTx(ctx, a.DB, func(ctx context.Context, tx bun.Tx) error {
		_, err := db.CompleteAnalysis(ctx, tx, interview, result.General, result.Specific)
		return err
	})))
}

func (a *Activities) refuseAnalysis(ctx context.Context, interview uuid.UUID, message string) error {
	return wrap("refuse analysis", unlessLost(pg.InTx(ctx, a.DB, func(ctx context.Context, tx bun.Tx) error {
		return db.FailAnalysis(ctx, tx, interview, message)
	})))
}

func isObject(raw json.RawMessage) bool { return len(raw) > 0 && raw[0] == '{' }
