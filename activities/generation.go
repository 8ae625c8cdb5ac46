package activities

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/activities/webhook"
	"greenroom/db"
	"greenroom/db/pg"
)

// GenerationState is the input of the GenerateInterview workflow's decisions.
type GenerationState struct {
	// HasGenerator reports that a question generator is configured.
	HasGenerator bool
	// Notifies reports that the client asked for notifications.
	Notifies bool
}

// CreateGenerated creates the job and the agent of a generation, unless they exist.
func (a *Activities) CreateGenerated(ctx context.Context, id uuid.UUID) (GenerationState, error) {
	s := GenerationState{HasGenerator: a.Generator.URL != ""}
	err := pg.InTx(ctx, a.DB, func(ctx context.Context, tx bun.Tx) error {
		if err := db.CreateGenerated(ctx, tx, id); err != nil {
			return err
		}
		g, err := db.GetGeneration(ctx, tx, id)
		s.Notifies = err == nil && g.NotificationURL != nil
		return err
	})
	return s, wrap("create generated interview", err)
}

// generatorRequest is the body of the generator's POST /generations. The generator identifies a generation by its id,
// so the request may be repeated.
type generatorRequest struct {
	GenerationID   uuid.UUID `json:"generationId"`
	JobRole        string    `json:"jobRole"`
	JobDescription string    `json:"jobDescription"`
}

// Limits of a generator's answer: as many questions as an agent may have, and none longer than a candidate would read.
const (
	maxQuestions     = 50
	maxQuestionRunes = 2000
)

// AskGenerator requests the questions of a generation and stores them. A refusal, or an answer without questions, fails
// the generation; no default questions take their place. Errors are retryable.
func (a *Activities) AskGenerator(ctx context.Context, id uuid.UUID) error {
	g, err := db.GetGeneration(ctx, a.DB, id)
	if err != nil || g.Questions != nil || g.Status != db.GenerationPending {
		return err
	}
	got, err := a.call(ctx, serviceRequest{
		to: a.Generator, name: theGenerator, method: http.MethodPost, path: "/generations", subject: id, company: g.CompanyID,
		body: generatorRequest{g.ID, g.JobRole, g.JobDescription},
	})
	if err != nil {
		return err
	}
	if !got.accepted() {
		return a.EndGeneration(ctx, EndGenerationInput{id, got.refusal()})
	}
	questions, fault := questionsOf(got.body)
	if fault != "" {
		return a.EndGeneration(ctx, EndGenerationInput{id, fault})
	}
	return wrap("store questions", pg.InTx(ctx, a.DB, func(ctx context.Context, tx bun.Tx) error {
		return db.KeepQuestions(ctx, tx, id, questions)
	}))
}

// questionsOf parses {"questions": ["…", …]}. fault is the reason when the answer is invalid.
func questionsOf(raw []byte) (questions []string, fault string) {
	var answer struct {
		Questions []string `json:"questions"`
	}
	switch err := json.Unmarshal(raw, &answer); {
	case len(raw) > maxAnswer:
		return nil, fmt.Sprintf("the generator's answer is longer than %d bytes", maxAnswer)
	case err != nil || len(answer.Questions) == 0:
		return nil, `the generator's answer has no list of strings "questions"`
	case len(answer.Questions) > maxQuestions:
		return nil, fmt.Sprintf("the generator's answer has more than %d questions", maxQuestions)
	}
	for _, q := range answer.Questions {
		if strings.TrimSpace(q) == "" || utf8.RuneCountInString(q) > maxQuestionRunes || strings.ContainsRune(q, 0) {
			const format = "the generator's answer has a question that is empty, longer than %d characters or contains NUL"
			return nil, fmt.Sprintf(format, maxQuestionRunes)
		}
	}
	return answer.Questions, ""
}

// EndGenerationInput ends a generation: as failed if Reason is set, else as completed.
type EndGenerationInput struct {
	GenerationID uuid.UUID
	Reason       string
}

// EndGeneration ends a generation, unless it has already ended.
func (a *Activities) EndGeneration(ctx context.Context, in EndGenerationInput) error {
	return wrap("end generation", pg.InTx(ctx, a.DB, func(ctx context.Context, tx bun.Tx) error {
		return db.EndGeneration(ctx, tx, in.GenerationID, in.Reason)
	}))
}

// generationNotice is posted to a generation's notification_url. It has the fields of GET
// …/generate-interview/<job_id>. It is not signed, because there is no secret shared with the client: a client that
// needs proof reads the status with its key.
type generationNotice struct {
	JobID         uuid.UUID           `json:"job_id"`
	Status        db.GenerationStatus `json:"status"`
	Message       string              `json:"message"`
	AIInterviewID *int64              `json:"ai_interview_id"`
	Error         *string             `json:"error"`
}

// NotifyGeneration posts the current state of a generation. Errors are retryable. A refusal (4xx except 408 and 429)
// and a forbidden address are not retried.
func (a *Activities) NotifyGeneration(ctx context.Context, id uuid.UUID) error {
	g, err := db.GetGeneration(ctx, a.DB, id)
	if err != nil || g.NotificationURL == nil {
		return err
	}
	body, err := json.Marshal(generationNotice{g.ID, g.Status, g.Message(), g.JobNumber, g.Error})
	if err != nil {
		return wrap("encode notification", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, *g.NotificationURL, bytes.NewReader(body))
	if err != nil {
		return wrap("prepare notification", withoutURL(err))
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", webhook.UserAgent)
	leave, err := a.outside.enter(theNotified, g.CompanyID)
	if err != nil {
		return err
	}
	defer leave()
	started := time.Now()
	status, err := a.post(req)
	a.Logger.InfoContext(ctx, "generation notified", "generation_id", id, "status_code", status,
		"duration_ms", time.Since(started).Milliseconds())
	return wrap("notify of generation", err)
}

// post sends a request and ignores the answer's body.
func (a *Activities) post(req *http.Request) (status int, err error) {
	resp, err := a.Client.HTTPClient().Do(req)
	if _, forbidden := errors.AsType[*webhook.URLError](err); forbidden {
		return 0, nil
	}
	if err != nil {
		return 0, anonymous(err)
	}
	_ = resp.Body.Close()
	if isRetryable(resp.StatusCode) {
		return resp.StatusCode, fmt.Errorf("the receiver answered %d", resp.StatusCode)
	}
	return resp.StatusCode, nil
}
