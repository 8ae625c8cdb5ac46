package activities_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"greenroom/activities"
	"greenroom/db"
	"greenroom/db/catalog"
	"greenroom/db/token"
)

func (b *interviews) placeInput() activities.PlaceCallInput {
	b.t.Helper()
	s := b.state()
	return activities.PlaceCallInput{InterviewID: b.id, CallID: s.Call.ID, Version: s.Version}
}

func TestPlaceCall(t *testing.T) {
	t.Parallel()
	t.Run("sends_the_provider_the_call", func(t *testing.T) {
		t.Parallel()
		b := setupInterview(t, db.Phone)
		b.outside.answers = []answer{{http.StatusAccepted, `{"callId":"c1"}`}}
		in := b.placeInput()
		res, err := b.PlaceCall(b.ctx, in)
		require.NoError(t, err)
		assert.True(t, res.Placed)
		assert.Equal(t, []asked{{
			method: http.MethodPost, path: "/calls", authorization: "Bearer t0ken",
			body: map[string]any{
				"callAttemptId": in.CallID.String(), "interviewId": b.id.String(), "phoneNumber": "+421900000000", "language": "SK",
				"questions": []any{"Why?"}, "durationMinutes": 20.0,
				"callbackUrl": "https://greenroom.test/callbacks/calls/" + in.CallID.String() +
					"?token=" + token.For([]byte(secret), "callback", in.CallID),
			},
		}}, b.outside.asked)
		assert.WithinDuration(t, time.Now(), b.state().Call.PlacedAt, time.Minute)

		res, err = b.PlaceCall(b.ctx, in)
		require.NoError(t, err, "repeated by Temporal")
		assert.False(t, res.Placed)
		assert.Len(t, b.outside.asked, 1, "a call that is recorded as placed is not placed again")
	})
	t.Run("rescheduled_call_is_not_placed", func(t *testing.T) {
		t.Parallel()
		b := setupInterview(t, db.Phone)
		in := b.placeInput()
		b.tx(func(ctx context.Context, tx bun.Tx) error {
			return db.RescheduleCall(ctx, tx, b.id, in.CallID, time.Now().Add(time.Hour))
		})
		res, err := b.PlaceCall(b.ctx, in)
		require.NoError(t, err)
		assert.False(t, res.Placed)
		assert.Empty(t, b.outside.asked)
	})
	t.Run("refusal_fails_the_interview_with_the_provider's_message", func(t *testing.T) {
		t.Parallel()
		b := setupInterview(t, db.Phone)
		b.outside.answers = []answer{{http.StatusUnprocessableEntity, `{"error":"no such number"}`}}
		res, err := b.PlaceCall(b.ctx, b.placeInput())
		require.NoError(t, err)
		assert.False(t, res.Placed)
		assert.Equal(t, activities.InterviewFailed, b.state().Status)
		assert.Equal(t, db.ReasonProvider, b.reason())
		assert.Equal(
			t,
			"the call provider refused with 422: no such number",
			b.event(catalog.InterviewFailed)["errorMessage"],
		)
	})
	t.Run("transient_failures_are_errors", func(t *testing.T) {
		t.Parallel()
		b := setupInterview(t, db.Phone)
		for _, status := range []int{
			http.StatusInternalServerError, http.StatusServiceUnavailable, http.StatusTooManyRequests, http.StatusRequestTimeout,
		} {
			b.outside.answers = []answer{{status, `{"error":"number +421900000000"}`}}
			_, err := b.PlaceCall(b.ctx, b.placeInput())
			require.Error(t, err)
			assert.NotContains(t, err.Error(), "+421", "an error is written to the history")
		}
		b.Calls.URL = "http://127.0.0.1:1"
		_, err := b.PlaceCall(b.ctx, b.placeInput())
		require.Error(t, err)
		assert.NotContains(t, err.Error(), "http://", "nor does it contain the service's address")
		assert.Equal(t, activities.InterviewScheduled, b.state().Status)
		assert.True(t, b.state().Call.PlacedAt.IsZero())
	})
	t.Run("impossible_call_fails_the_interview", func(t *testing.T) {
		t.Parallel()
		for name, c := range map[string]struct {
			prepare func(b *interviews)
			reason  string
		}{
			"without a provider": {func(b *interviews) { b.Calls.URL = "" }, db.ReasonProvider},
			"without a number": {func(b *interviews) {
				b.exec("UPDATE candidates SET phone_number = NULL")
			}, db.ReasonTechnical},
			"deleted candidate": {func(b *interviews) {
				b.exec("UPDATE candidates SET deleted_at = now()")
			}, db.ReasonTechnical},
			"redirect": {func(b *interviews) {
				b.outside.answers = []answer{{http.StatusFound, ""}}
			}, db.ReasonProvider},
		} {
			b := setupInterview(t, db.Phone)
			c.prepare(b)
			res, err := b.PlaceCall(b.ctx, b.placeInput())
			require.NoError(t, err, name)
			assert.False(t, res.Placed, name)
			assert.Equal(t, activities.InterviewFailed, b.state().Status, name)
			assert.Equal(t, c.reason, b.reason(), name)
		}
	})
}

func TestHangUp(t *testing.T) {
	t.Parallel()
	b := setupInterview(t, db.Phone)
	call := b.state().Call.ID
	require.NoError(t, b.HangUp(b.ctx, call))
	assert.Equal(
		t,
		[]asked{{method: http.MethodDelete, path: "/calls/" + call.String(), authorization: "Bearer t0ken"}},
		b.outside.asked,
	)
	b.outside.answers = []answer{{http.StatusNotFound, ""}, {http.StatusBadGateway, ""}}
	require.NoError(t, b.HangUp(b.ctx, call), "the provider does not know the call")
	require.Error(t, b.HangUp(b.ctx, call), "retryable")
	b.Calls.URL = ""
	require.NoError(t, b.HangUp(b.ctx, call))
	assert.Len(t, b.outside.asked, 3)
}
