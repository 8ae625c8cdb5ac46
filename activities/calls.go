package activities

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/db"
)

// PlaceCallInput asks for one call to be placed, if the interview is still as the decision saw it.
type PlaceCallInput struct {
	InterviewID uuid.UUID
	CallID      uuid.UUID
	Version     string
}

// PlaceCallResult says whether the provider has the call now.
type PlaceCallResult struct{ Placed bool }

// PlaceCall hands a call to the provider and records that it took it. The provider knows a call by its attempt id, so
// that repeating the request is safe. A call that the provider refuses, or that cannot be made, fails the interview
// here and now, because the reason may speak of the candidate and has no place in a history. An error means that
// another try may do better.
func (a *Activities) PlaceCall(ctx context.Context, in PlaceCallInput) (PlaceCallResult, error) {
	s, err := loadInterview(ctx, a.DB, in.InterviewID, false)
	if err != nil || s.Version != in.Version {
		return PlaceCallResult{}, wrap("place call", err)
	}
	if a.Calls.URL == "" {
		return PlaceCallResult{}, a.cannotCall(ctx, in, db.ReasonProvider, "no call provider is configured (provider.url)")
	}
	call, err := a.prepareCall(ctx, in)
	if err != nil {
		return PlaceCallResult{}, err
	}
	if call.PhoneNumber == "" {
		return PlaceCallResult{}, a.cannotCall(ctx, in, db.ReasonTechnical, "the candidate has no telephone number")
	}
	got, err := a.askProvider(ctx, http.MethodPost, "/calls", call, in.CallID)
	if err != nil {
		return PlaceCallResult{}, err
	}
	if !got.taken() {
		return PlaceCallResult{}, a.cannotCall(ctx, in, db.ReasonProvider, got.refusal())
	}
	return PlaceCallResult{Placed: true}, db.MarkCallPlaced(ctx, a.DB, in.CallID)
}

func (a *Activities) askProvider(ctx context.Context, method, path string, body any, call uuid.UUID) (answer, error) {
	return a.ask(ctx, inquiry{to: a.Calls, name: "the call provider", method: method, path: path, body: body, about: call})
}

// callRequest is the body of the provider's POST /calls.
type callRequest struct {
	CallAttemptID   uuid.UUID       `json:"callAttemptId"`
	InterviewID     uuid.UUID       `json:"interviewId"`
	PhoneNumber     string          `json:"phoneNumber"`
	Language        string          `json:"language"`
	Questions       json.RawMessage `json:"questions"`
	DurationMinutes int             `json:"durationMinutes"`
	CallbackURL     string          `json:"callbackUrl"`
}

// prepareCall reads what the provider must know. A candidate who was deleted has no telephone number.
func (a *Activities) prepareCall(ctx context.Context, in PlaceCallInput) (callRequest, error) {
	b, err := db.BriefCall(ctx, a.DB, in.InterviewID)
	if err != nil {
		return callRequest{}, err
	}
	return callRequest{
		CallAttemptID: in.CallID, InterviewID: in.InterviewID, PhoneNumber: orZero(b.PhoneNumber), Language: b.Language,
		Questions: b.Questions, DurationMinutes: b.DurationMinutes, CallbackURL: a.callback("calls", in.CallID),
	}, nil
}

func (a *Activities) cannotCall(ctx context.Context, in PlaceCallInput, reason, message string) error {
	return wrap("refuse call", a.ifUnchanged(ctx, in.InterviewID, in.Version, func(ctx context.Context, tx bun.Tx) error {
		_, err := db.FailInterview(ctx, tx, in.InterviewID, reason, message)
		return err
	}))
}

// HangUp ends a call at the provider. One that the provider does not know, or will not end, is no fault of ours: it is
// logged and left to the provider.
func (a *Activities) HangUp(ctx context.Context, call uuid.UUID) error {
	if a.Calls.URL == "" {
		return nil
	}
	got, err := a.askProvider(ctx, http.MethodDelete, "/calls/"+call.String(), nil, call)
	if err != nil {
		return err
	}
	if !got.taken() {
		a.Logger.WarnContext(ctx, "call not ended", "call_attempt_id", call, "status_code", got.status)
	}
	return nil
}
