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

// GenerationState is what the GenerateInterview workflow decides on.
type GenerationState struct {
	// HasGenerator: there is a service to ask for questions.
	HasGenerator bool
	// Notifies: the client wants to hear of the progress.
	Notifies bool
}

// CreateGenerated makes the job of a generation, with its agent, if it was not made before.
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

// generatorRequest is the body of the generator's POST /generations; it knows a generation by its id, so that
// repeating the request is safe.
type generatorRequest struct {
	GenerationID   uuid.UUID `json:"generationId"`
	JobRole        string    `json:"jobRole"`
	JobDescription string    `json:"jobDescription"`
}

// Bounds of what a generator may give: as many questions as an agent has, none longer than a candidate reads.
const (
	maxQuestions     = 50
	maxQuestionRunes = 2000
)

// AskGenerator asks for the questions of a generation and keeps them. A refusal, or an answer without questions,
// fails the generation: none are made up. An error means that another try may do better.
func (a *Activities) AskGenerator(ctx context.Context, id uuid.UUID) error {
	g, err := db.GetGeneration(ctx, a.DB, id)
	if err != nil || g.Questions != nil || g.Status != db.GenerationPending {
		return err
	}
	got, err := a.ask(ctx, inquiry{
		to: a.Generator, name: "the generator", method: http.MethodPost, path: "/generations", about: id,
		body: generatorRequest{g.ID, g.JobRole, g.JobDescription},
	})
	if err != nil {
		return err
	}
	if !got.taken() {
		return a.EndGeneration(ctx, EndGenerationInput{id, got.refusal()})
	}
	questions, fault := questionsOf(got.body)
	if fault != "" {
		return a.EndGeneration(ctx, EndGenerationInput{id, fault})
	}
	return wrap("keep questions", pg.InTx(ctx, a.DB, func(ctx context.Context, tx bun.Tx) error {
		return db.KeepQuestions(ctx, tx, id, questions)
	}))
}

// questionsOf reads {"questions": ["…", …]}; fault says why it is not one.
func questionsOf(raw []byte) (questions []string, fault string) {
	var answer struct {
		Questions []string `json:"questions"`
	}
	switch err := json.Unmarshal(raw, &answer); {
	case len(raw) > maxAnswer:
		return nil, fmt.Sprintf("the generator's answer is longer than %d bytes", maxAnswer)
	case err != nil || len(answer.Questions) == 0:
		return nil, `the generator's answer has no list of texts "questions"`
	case len(answer.Questions) > maxQuestions:
		return nil, fmt.Sprintf("the generator's answer has more than %d questions", maxQuestions)
	}
	for _, q := range answer.Questions {
		if strings.TrimSpace(q) == "" || utf8.RuneCountInString(q) > maxQuestionRunes || strings.ContainsRune(q, 0) {
			return nil, fmt.Sprintf(
				"the generator's answer has a question that is empty or longer than %d characters",
				maxQuestionRunes,
			)
		}
	}
	return answer.Questions, ""
}

// EndGenerationInput ends a generation: failed when there is a reason.
type EndGenerationInput struct {
	GenerationID uuid.UUID
	Reason       string
}

// EndGeneration ends a generation that has not ended.
func (a *Activities) EndGeneration(ctx context.Context, in EndGenerationInput) error {
	return wrap("end generation", pg.InTx(ctx, a.DB, func(ctx context.Context, tx bun.Tx) error {
		return db.EndGeneration(ctx, tx, in.GenerationID, in.Reason)
	}))
}

// generationNotice is what is posted to a generation's notification_url: what GET …/generate-interview/<job_id> would
// say. It is not signed, for the client and we share no secret: who relies on it reads the status with its key.
type generationNotice struct {
	JobID         uuid.UUID           `json:"job_id"`
	Status        db.GenerationStatus `json:"status"`
	Message       string              `json:"message"`
	AIInterviewID *int64              `json:"ai_interview_id"`
	Error         *string             `json:"error"`
}

// NotifyGeneration posts where a generation stands now. An error means that another try may do better; an address
// that answers with a refusal (4xx but 408 and 429), or that may not be called, is left alone.
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
	started := time.Now()
	status, err := a.post(req)
	a.Logger.InfoContext(ctx, "generation notified", "generation_id", id, "status_code", status,
		"duration_ms", time.Since(started).Milliseconds())
	return wrap("notify of generation", err)
}

// post makes a request whose answer's body is of no interest.
func (a *Activities) post(req *http.Request) (status int, err error) {
	resp, err := a.Client.HTTPClient().Do(req)
	if _, forbidden := errors.AsType[*webhook.URLError](err); forbidden {
		return 0, nil
	}
	if err != nil {
		return 0, withoutURL(err)
	}
	_ = resp.Body.Close()
	switch code := resp.StatusCode; {
	case code < 300:
		return code, nil
	case code >= 500, code == http.StatusRequestTimeout, code == http.StatusTooManyRequests:
		return code, fmt.Errorf("it answered %d", code)
	default:
		return code, nil
	}
}
