package workflows

import (
	"cmp"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"

	"greenroom/activities"
)

func TestInterviewNextStep(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	hour := time.Hour
	id, other := uuid.MustParse(
		"00000000-0000-7000-8000-000000000001",
	), uuid.MustParse(
		"00000000-0000-7000-8000-000000000002",
	)

	state := func(kind string, status string, with func(*activities.InterviewState)) activities.InterviewState {
		s := activities.InterviewState{Type: kind, Status: status, MaxDuration: hour}
		with(&s)
		return s
	}
	deadline := func(at time.Time) activities.InterviewState {
		return state(
			activities.Online,
			activities.InterviewScheduled,
			func(s *activities.InterviewState) { s.DeadlineAt = at },
		)
	}
	since := func(at time.Time) activities.InterviewState {
		return state(
			activities.Online,
			activities.InterviewInProgress,
			func(s *activities.InterviewState) { s.StartedAt = at },
		)
	}
	call := func(status string, c activities.CallState) activities.InterviewState {
		c.ID = cmp.Or(c.ID, id)
		return state(activities.Phone, status, func(s *activities.InterviewState) { s.Call, s.StartedAt = c, now })
	}
	analysis := func(with func(*activities.InterviewState)) activities.InterviewState {
		return state(activities.Online, activities.InterviewCompleted, func(s *activities.InterviewState) {
			s.Analysis, s.AnalysisDueAt, s.HasAnalyser = activities.AnalysisPending, now.Add(hour), true
			with(s)
		})
	}
	unanswered := activities.CallState{Status: activities.CallFailed, Reason: activities.ReasonNoAnswer}
	canceled := activities.CallState{Status: activities.CallCancelled, Reason: "X"}

	fresh := InterviewInput{NoAnswerRetries: 2}
	placed := InterviewInput{NoAnswerRetries: 2, PlacedCall: id}
	wait := func(until time.Time, what string) step { return step{do: stepWait, until: until, what: what} }
	fail := func(reason string) step { return step{do: stepFail, reason: reason} }
	const (
		invitation, talk, verdict = "the invitation's deadline", "the maximum duration", "the analysis"
		dial, news                = "the time of the call", "a report of the call"
	)

	for name, c := range map[string]struct {
		state activities.InterviewState
		in    InterviewInput
		want  step
	}{
		"no such interview": {want: step{do: stepDone}},

		"online waits for its deadline":   {deadline(now.Add(hour)), fresh, wait(now.Add(hour), invitation)},
		"online fails at its deadline":    {deadline(now), fresh, fail(activities.ReasonInvitationExpired)},
		"online without a deadline waits": {deadline(time.Time{}), fresh, wait(time.Time{}, invitation)},
		"in progress waits":               {since(now.Add(-time.Minute)), fresh, wait(now.Add(59*time.Minute), talk)},
		"in progress for too long":        {since(now.Add(-hour)), fresh, fail(activities.ReasonMaxDuration)},

		"call to come": {
			call(activities.InterviewScheduled, activities.CallState{
				Status: activities.CallScheduled, ScheduledAt: now.Add(hour),
			}), fresh,
			wait(now.Add(hour), dial),
		},
		"call due": {
			call(activities.InterviewScheduled, activities.CallState{Status: activities.CallScheduled, ScheduledAt: now}), fresh,
			step{do: stepPlaceCall},
		},
		"call placed": {
			call(activities.InterviewScheduled, activities.CallState{Status: activities.CallScheduled, PlacedAt: now}), placed,
			wait(now.Add(hour), news),
		},
		"call placed and never heard of": {
			call(activities.InterviewScheduled, activities.CallState{
				Status: activities.CallScheduled, PlacedAt: now.Add(-hour),
			}), placed,
			fail(activities.ReasonMaxDuration),
		},
		"call in progress": {
			call(activities.InterviewInProgress, activities.CallState{Status: activities.CallInProgress}),
			placed, wait(now.Add(hour), talk),
		},
		"nobody answered": {call(activities.InterviewScheduled, unanswered), placed, step{do: stepRetryCall}},
		"no retries configured": {
			call(activities.InterviewScheduled, unanswered),
			InterviewInput{},
			fail(activities.ReasonNoAnswer),
		},
		"nobody answered the last": {
			call(activities.InterviewScheduled, activities.CallState{
				Status: activities.CallFailed, Reason: activities.ReasonNoAnswer, RetryNumber: 2,
			}),
			fresh, fail(activities.ReasonNoAnswer),
		},
		"nobody answered another": {
			call(activities.InterviewScheduled, unanswered),
			InterviewInput{NoAnswerRetries: 2, RetriedCall: other},
			step{do: stepRetryCall},
		},
		"the provider could not make the call": {
			call(activities.InterviewScheduled, activities.CallState{
				Status: activities.CallFailed, Reason: activities.ReasonTechnical,
			}),
			fresh, wait(time.Time{}, "a call to be invoked"),
		},
		"the retry was deleted": {
			call(activities.InterviewScheduled, unanswered),
			InterviewInput{NoAnswerRetries: 2, RetriedCall: id},
			wait(time.Time{}, "a call to be invoked"),
		},
		"every call was deleted": {
			state(activities.Phone, activities.InterviewScheduled, func(*activities.InterviewState) {}),
			fresh, wait(time.Time{}, "a call to be invoked"),
		},

		"placed call was deleted": {
			state(activities.Phone, activities.InterviewScheduled, func(*activities.InterviewState) {}),
			placed,
			step{do: stepHangUp},
		},
		"placed call was replaced": {
			call(activities.InterviewScheduled, activities.CallState{ID: other, Status: activities.CallScheduled}),
			placed,
			step{do: stepHangUp},
		},
		"canceled while it rings": {call(activities.InterviewCanceled, canceled), placed, step{do: stepHangUp}},
		"canceled in progress": {
			call(activities.InterviewCanceled, activities.CallState{Status: activities.CallInProgress}),
			placed,
			step{do: stepHangUp},
		},
		"canceled and hung up": {call(activities.InterviewCanceled, canceled), fresh, step{do: stepDone}},
		"talked for too long": {
			call(activities.InterviewFailed, activities.CallState{
				Status: activities.CallFailed, Reason: activities.ReasonMaxDuration,
			}),
			placed,
			step{do: stepHangUp},
		},
		"provider not reached": {
			call(activities.InterviewFailed, activities.CallState{
				Status: activities.CallFailed, Reason: activities.ReasonProvider,
			}),
			placed,
			step{do: stepHangUp},
		},
		"provider says it failed": {
			call(activities.InterviewFailed, activities.CallState{
				Status: activities.CallFailed, Reason: activities.ReasonTechnical,
			}),
			placed,
			step{do: stepDone},
		},
		"provider says it is over": {
			call(activities.InterviewCompleted, activities.CallState{Status: activities.CallCompleted}),
			placed,
			step{do: stepDone},
		},

		"analysis asked for": {analysis(func(*activities.InterviewState) {}), fresh, step{do: stepRequestAnalysis}},
		"analysis asked for once": {
			analysis(func(*activities.InterviewState) {}), InterviewInput{AnalysisRequested: true}, wait(now.Add(hour), verdict),
		},
		"analysis comes from the API": {
			analysis(func(s *activities.InterviewState) { s.HasAnalyser = false }), fresh, wait(now.Add(hour), verdict),
		},
		"analysis overdue": {
			analysis(func(s *activities.InterviewState) { s.AnalysisDueAt = now }), fresh, step{do: stepFailAnalysis},
		},
		"analysis of a deleted interview": {
			analysis(func(s *activities.InterviewState) { s.Deleted = true }),
			fresh,
			step{do: stepDone},
		},
		"analysis failed": {
			analysis(func(s *activities.InterviewState) { s.Analysis = activities.AnalysisFailed }), fresh, step{do: stepDone},
		},
		"analysis never begun": {analysis(func(s *activities.InterviewState) { s.Analysis = "" }), fresh, step{do: stepDone}},
		"deleted in progress goes on": {
			state(activities.Phone, activities.InterviewInProgress, func(s *activities.InterviewState) {
				s.Deleted, s.StartedAt, s.Call = true, now, activities.CallState{ID: id, Status: activities.CallInProgress}
			}), placed, wait(now.Add(hour), talk),
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			assert.Equal(t, c.want, nextStep(c.state, now, c.in))
		})
	}
}
