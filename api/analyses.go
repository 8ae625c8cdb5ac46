package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/api/surface"
	"greenroom/db"
	"greenroom/db/pg"
)

// maxAnalysis limits the body of an analysis, in bytes: lists of interviews have up to 100 of them.
const maxAnalysis = 256 << 10

// analysisDone is the numeric status of a finished analysis in the reference (§2.13).
const analysisDone = 3

// analysisInput is a result from a client or the analyser: either general (with optional specific), or error.
type analysisInput struct {
	General  json.RawMessage `json:"general" validate:"object"`
	Specific json.RawMessage `json:"specific" validate:"object"`
	Error    *string         `json:"error" validate:"min=1,max=2000"`
}

// check applies the rules that involve more than one field. General may have fields that the reference does not name;
// those that it names must have its types.
func (in *analysisInput) check() error {
	switch {
	case in.Error != nil && (in.General != nil || in.Specific != nil):
		return surface.Invalid("error", "error must not be sent together with a result")
	case in.Error != nil:
		return nil
	case in.General == nil:
		e := surface.Missing("general")
		e.Message = "general is required, or error when there is no result"
		return e
	}
	var general map[string]json.RawMessage
	if err := json.Unmarshal(in.General, &general); err != nil {
		return surface.Invalid("general", "general must be an object")
	}
	for _, name := range slices.Sorted(maps.Keys(general)) {
		raw := bytes.TrimSpace(general[name])
		if form, known := generalForms[name]; known && string(raw) != "null" && !form.accepts(raw) {
			return surface.Invalid("general."+name, "general."+name+" must be "+form.what)
		}
	}
	return nil
}

type form struct {
	what    string
	accepts func([]byte) bool
}

var (
	textForm = form{"a string", func(raw []byte) bool { return raw[0] == '"' }}
	listForm = form{"an array", surface.IsArray}
	rateForm = form{"a number between 0 and 100", func(raw []byte) bool {
		var n float64
		return json.Unmarshal(raw, &n) == nil && n >= 0 && n <= 100
	}}
	generalForms = map[string]form{
		"overallRating": rateForm, "companyFitRating": textForm, "education": textForm, "experience": textForm,
		"strongPoints": listForm, "weakPoints": listForm, "evaluation": listForm,
	}
)

// store completes or fails the pending analysis.
func (in *analysisInput) store(ctx context.Context, tx bun.Tx, interview uuid.UUID) error {
	if in.Error != nil {
		return db.FailAnalysis(ctx, tx, interview, *in.Error)
	}
	_, err := db.CompleteAnalysis(ctx, tx, interview, in.General, in.Specific)
	return err
}

type analysisOutput struct {
	ID          uuid.UUID         `json:"id"`
	InterviewID uuid.UUID         `json:"interviewId"`
	CandidateID uuid.UUID         `json:"candidateId"`
	Status      string            `json:"status"`
	General     map[string]any    `json:"general"`
	Specific    json.RawMessage   `json:"specific"`
	Error       *string           `json:"error"`
	CreatedAt   surface.Timestamp `json:"createdAt"`
	UpdatedAt   surface.Timestamp `json:"updatedAt"`
}

// showAnalysis gives general all fields of the reference; those that the analyser did not report are null or empty.
func showAnalysis(a *db.Analysis) analysisOutput {
	out := analysisOutput{
		ID:          a.ID,
		InterviewID: a.InterviewID,
		CandidateID: a.CandidateID,
		Status:      a.Status,
		Specific:    a.Specific,
		Error:       a.Error,
		CreatedAt:   surface.Timestamp(a.CreatedAt),
		UpdatedAt:   surface.Timestamp(a.UpdatedAt),
	}
	if out.Specific == nil {
		out.Specific = json.RawMessage("null")
	}
	if a.Status != db.AnalysisCompleted {
		return out
	}
	var said map[string]json.RawMessage
	_ = json.Unmarshal(a.General, &said) // not an object: leaves all fields empty
	out.General = map[string]any{
		"overallRating": nil, "companyFitRating": nil, "education": nil, "experience": nil,
		"strongPoints": []any{}, "weakPoints": []any{}, "evaluation": []any{}, "status": analysisDone,
	}
	for name, value := range said {
		if string(value) != "null" {
			out.General[name] = value
		}
	}
	out.General["createdAt"], out.General["updatedAt"] = surface.Timestamp(a.CreatedAt), surface.Timestamp(a.UpdatedAt)
	return out
}

func (s *server) getAnalysis(c *gin.Context) error {
	i, err := interviews.OfPath(c, s.DB)
	if err != nil {
		return err
	}
	return s.answerAnalysis(c, http.StatusOK, i.ID)
}

func (s *server) answerAnalysis(c *gin.Context, status int, interview uuid.UUID) error {
	a, err := db.GetAnalysis(c.Request.Context(), s.DB, interview)
	if errors.Is(err, pg.ErrNotFound) {
		e := surface.NotFound("Analysis", interview.String())
		e.Message = strings.Replace(e.Message, "Analysis with", "Analysis of interview with", 1)
		return e
	}
	if err != nil {
		return err
	}
	return ok(c, status, showAnalysis(a))
}

func (s *server) postAnalysis(c *gin.Context) error {
	i, err := interviews.OfPath(c, s.DB)
	if err != nil {
		return err
	}
	in, err := surface.Bind[analysisInput](c)
	if err != nil {
		return err
	}
	if err := in.check(); err != nil {
		return err
	}
	err = pg.InTx(c.Request.Context(), s.DB, func(ctx context.Context, tx bun.Tx) error { return in.store(ctx, tx, i.ID) })
	if err != nil {
		return err
	}
	return s.answerAnalysis(c, http.StatusCreated, i.ID)
}
