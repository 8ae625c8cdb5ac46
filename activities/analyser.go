package activities

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/db"
	"greenroom/db/pg"
)

// RequestAnalysis requests the analysis of a completed interview. It stores a result in the answer. A refusal fails the
// analysis with the analyser's message, and 202 means that the result comes by callback. Errors are retryable. If the
// analysis is no longer pending, it does nothing.
func (a *Activities) RequestAnalysis(ctx context.Context, interview uuid.UUID) error {
	body, company, pending, err := a.prepareAnalysis(ctx, interview)
	if err != nil || !pending {
		return err
	}
	got, err := a.call(ctx, serviceRequest{
		to: a.Analyser, name: theAnalyser, method: http.MethodPost, path: "/analyses", body: body, subject: interview,
		company: company,
	})
	switch {
	case err != nil:
		return err
	case got.status == http.StatusAccepted:
		return nil
	case !got.accepted():
		return a.failAnalysis(ctx, interview, got.refusal())
	}
	return a.storeAnalysis(ctx, interview, got.body)
}

// analysisRequest is the body of the analyser's POST /analyses.
type analysisRequest struct {
	InterviewID    uuid.UUID       `json:"interviewId"`
	JobTitle       string          `json:"jobTitle"`
	JobDescription string          `json:"jobDescription"`
	RequiredSkills []string        `json:"requiredSkills"`
	Transcript     json.RawMessage `json:"transcript"`
	Answers        json.RawMessage `json:"answers"`
	CallbackURL    string          `json:"callbackUrl"`
}

func (a *Activities) prepareAnalysis(
	ctx context.Context,
	interview uuid.UUID,
) (body analysisRequest, company uuid.UUID, pending bool, err error) {
	b, err := db.BriefAnalysis(ctx, a.DB, interview)
	if errors.Is(err, pg.ErrNotFound) {
		return body, uuid.Nil, false, nil
	}
	return analysisRequest{
		InterviewID: interview, JobTitle: b.JobTitle, JobDescription: b.JobDescription, RequiredSkills: b.RequiredSkills,
		Transcript: b.Transcript, Answers: b.Answers, CallbackURL: a.callback("analyses", interview),
	}, b.CompanyID, err == nil, err
}

// storeAnalysis stores a result unchanged. An invalid result fails the analysis; no default takes its place.
func (a *Activities) storeAnalysis(ctx context.Context, interview uuid.UUID, raw []byte) error {
	var result struct {
		General  json.RawMessage `json:"general"`
		Specific json.RawMessage `json:"specific"`
	}
	switch err, fault := json.Unmarshal(raw, &result), pg.JSONFault(raw); {
	case len(raw) > maxAnalysis:
		return a.failAnalysis(ctx, interview, fmt.Sprintf("the analyser's answer is longer than %d bytes", maxAnalysis))
	case err != nil, !isObject(result.General):
		return a.failAnalysis(ctx, interview, `the analyser's answer is not an analysis: it has no object "general"`)
	case fault != "":
		return a.failAnalysis(ctx, interview, "the analyser's answer "+fault)
	case !isObject(result.Specific):
		result.Specific = nil
	}
	return wrap("store analysis", pg.UnlessLost(pg.InTx(ctx, a.DB, func(ctx context.Context, tx bun.Tx) error {
		_, err := db.CompleteAnalysis(ctx, tx, interview, result.General, result.Specific)
		return err
	})))
}

func (a *Activities) failAnalysis(ctx context.Context, interview uuid.UUID, message string) error {
	return wrap("fail analysis", pg.UnlessLost(pg.InTx(ctx, a.DB, func(ctx context.Context, tx bun.Tx) error {
		return db.FailAnalysis(ctx, tx, interview, message)
	})))
}

func isObject(raw json.RawMessage) bool { return len(raw) > 0 && raw[0] == '{' }
