package activities

import (
	"bytes"
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

// RequestAnalysis asks the analyser about a completed interview. A result in its answer is stored, a refusal fails
// the analysis with the analyser's own words, and 202 means that the result will come by call-back. An error means
// that another try may do better. An interview whose analysis is not pending any more is left alone.
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
) (body analysisRequest, pending bool, err error) {
	b, err := db.BriefAnalysis(ctx, a.DB, interview)
	if errors.Is(err, pg.ErrNotFound) {
		return body, false, nil
	}
	return analysisRequest{
		InterviewID: interview, JobTitle: b.JobTitle, JobDescription: b.JobDescription, RequiredSkills: b.RequiredSkills,
		Transcript: b.Transcript, Answers: b.Answers, CallbackURL: a.callback("analyses", interview),
	}, err == nil, err
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
	return wrap("keep analysis", pg.UnlessLost(pg.InTx(ctx, a.DB, func(ctx context.Context, tx bun.Tx) error {
		_, err := db.CompleteAnalysis(ctx, tx, interview, result.General, result.Specific)
		return err
	})))
}

func (a *Activities) refuseAnalysis(ctx context.Context, interview uuid.UUID, message string) error {
	return wrap("refuse analysis", pg.UnlessLost(pg.InTx(ctx, a.DB, func(ctx context.Context, tx bun.Tx) error {
		return db.FailAnalysis(ctx, tx, interview, message)
	})))
}

func isObject(raw json.RawMessage) bool { return len(raw) > 0 && raw[0] == '{' }
