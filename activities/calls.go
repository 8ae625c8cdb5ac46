package activities

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/db"
)

// PlaceCallInput requests one call, unless the interview has changed since Version.
type PlaceCallInput struct {
	InterviewID uuid.UUID
	CallID      uuid.UUID
	Version     string
}

// PlaceCallResult reports whether the provider accepted the call.
type PlaceCallResult struct{ Placed bool }

// PlaceCall hands a call to the provider and records that it was accepted. The provider identifies a call by its
// attempt id, so the request may be repeated. If the provider refuses the call, or the call cannot be made, PlaceCall
// fails the interview itself: the reason may contain personal data, which must not enter a workflow history. Errors are
// retryable.
func (a *Activities) PlaceCall(ctx context.Context, in PlaceCallInput) (PlaceCallResult, error) {
	s, err := loadInterview(ctx, a.DB, in.InterviewID, false)
	if err != nil || s.Version != in.Version {
		return PlaceCallResult{}, wrap("place call", err)
	}
	if a.Calls.URL == "" {
		return PlaceCallResult{}, a.failCall(ctx, in, db.ReasonProvider, "no call provider is configured (provider.url)")
	}
	call, company, err := a.prepareCall(ctx, in)
	if err != nil {
		return PlaceCallResult{}, err
	}
	if call.PhoneNumber == "" {
		return PlaceCallResult{}, a.failCall(ctx, in, db.ReasonTechnical, "the candidate has no telephone number")
	}
	got, err := a.callProvider(ctx, company, http.MethodPost, "/calls", call, in.CallID)
	if err != nil {
		return PlaceCallResult{}, err
	}
	if !got.accepted() {
		return PlaceCallResult{}, a.failCall(ctx, in, db.ReasonProvider, got.refusal())
	}
	return PlaceCallResult{Placed: true}, db.MarkCallPlaced(ctx, a.DB, in.CallID)
}

func (a *Activities) callProvider(
	ctx context.Context, company uuid.UUID, method, path string, body any, call uuid.UUID,
) (answer, error) {
	return a.call(ctx, serviceRequest{
		to: a.Calls, name: theCallProvider, method: method, path: path, body: body, subject: call, company: company,
	})
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

// prepareCall builds the provider's request. A deleted candidate has no telephone number.
func (a *Activities) prepareCall(
	ctx context.Context, in PlaceCallInput,
) (call callRequest, company uuid.UUID, err error) {
	b, err := db.BriefCall(ctx, a.DB, in.InterviewID)
	if err != nil {
		return callRequest{}, uuid.Nil, err
	}
	return callRequest{
		CallAttemptID: in.CallID, InterviewID: in.InterviewID, PhoneNumber: orZero(b.PhoneNumber), Language: b.Language,
		Questions: b.Questions, DurationMinutes: b.DurationMinutes, CallbackURL: a.callback("calls", in.CallID),
	}, b.CompanyID, nil
}

func (a *Activities) failCall(ctx context.Context, in PlaceCallInput, reason, message string) error {
	return wrap("fail call", a.ifUnchanged(ctx, in.InterviewID, in.Version, func(ctx context.Context, tx bun.Tx) error {
		_, err := db.FailInterview(ctx, tx, in.InterviewID, reason, message)
		return err
	}))
}

// HangUp ends a call at the provider. If the provider does not know the call or refuses to end it, HangUp logs that and
// succeeds.
func (a *Activities) HangUp(ctx context.Context, call uuid.UUID) error {
	if a.Calls.URL == "" {
		return nil
	}
	company, err := db.CompanyOfCall(ctx, a.DB, call)
	if err != nil {
		return err
	}
	got, err := a.callProvider(ctx, company, http.MethodDelete, "/calls/"+call.String(), nil, call)
	if err != nil {
		return err
	}
	if !got.accepted() {
		a.Logger.WarnContext(ctx, "call not ended", "call_attempt_id", call, "status_code", got.status)
	}
	return nil
}
