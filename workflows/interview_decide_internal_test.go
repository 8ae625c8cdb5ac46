package workflows

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"

	"greenroom/activities"
	"greenroom/db"
)

func TestInterviewNextStep(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	hour := time.Hour
	id, other := uuid.MustParse("00000000-0000-7000-8000-000000000001"), uuid.MustParse("00000000-0000-7000-8000-000000000002")

	online := activities.InterviewState{Status: db.InterviewScheduled, Type: db.Online, MaxDuration: hour, DeadlineAt: now.Add(hour)}
	talk := activities.InterviewState{Status: db.InterviewInProgress, Type: db.Phone, MaxDuration: hour, StartedAt: now.Add(-time.Minute)}
	phone := func(c activities.CallState) activities.InterviewState {
		return activities.InterviewState{Status: db.InterviewScheduled, Type: db.Phone, MaxDuration: hour, Call: c}
	}
	pending := activities.InterviewState{
		Status: db.InterviewCompleted, Type: db.Online, Analysis: db.AnalysisPending, AnalysisDueAt: now.Add(hour),
	}
	change := func(s activities.InterviewState, with func(*activities.InterviewState)) activities.InterviewState {
		with(&s)
		return s
	}
	call := func(status db.CallStatus, reason string) activities.CallState {
		return activities.CallState{ID: id, Status: status, Reason: reason, ScheduledAt: now}
	}
	twice := InterviewInput{NoAnswerRetries: 2}
	placed := InterviewInput{NoAnswerRetries: 2, PlacedCall: id}

	for name, c := range map[string]struct {
		state activities.InterviewState
		in    InterviewInput
		want  step
	}{
		"no such interview": {want: step{do: stepDone}},

		"online waits for its deadline":   {online, twice, step{do: stepWait, until: now.Add(hour), what: "the invitation's deadline"}},
		"online fails at its deadline":    {change(online, func(s *activities.InterviewState) { s.DeadlineAt = now }), twice, step{do: stepFail, reason: db.ReasonInvitationExpired}},
		"online without a deadline waits": {change(online, func(s *activities.InterviewState) { s.DeadlineAt = time.Time{} }), twice, step{do: stepWait, what: "the invitation's deadline"}},

		"in progress waits":            {talk, twice, step{do: stepWait, until: now.Add(59 * time.Minute), what: "the maximum duration"}},
		"in progress for too long":     {change(talk, func(s *activities.InterviewState) { s.StartedAt = now.Add(-hour) }), twice, step{do: stepFail, reason: db.ReasonMaxDuration}},
		"deleted in progress goes on":  {change(talk, func(s *activities.InterviewState) { s.Deleted, s.Call = true, call(db.CallInProgress, "") }), placed, step{do: stepWait, until: now.Add(59 * time.Minute), what: "the maximum duration"}},
		"call to come":                 {phone(activities.CallState{ID: id, Status: db.CallScheduled, ScheduledAt: now.Add(hour)}), twice, step{do: stepWait, until: now.Add(hour), what: "the time of the call"}},
		"call due":                     {phone(call(db.CallScheduled, "")), twice, step{do: stepPlaceCall}},
		"call placed":                  {phone(activities.CallState{ID: id, Status: db.CallScheduled, PlacedAt: now}), placed, step{do: stepWait, until: now.Add(hour), what: "news of the call"}},
		"call placed and never heard":  {phone(activities.CallState{ID: id, Status: db.CallScheduled, PlacedAt: now.Add(-hour)}), placed, step{do: stepFail, reason: db.ReasonMaxDuration}},
		"nobody answered":              {phone(call(db.CallFailed, db.ReasonNoAnswer)), placed, step{do: stepRetryCall}},
		"nobody answered the last":     {phone(activities.CallState{ID: id, Status: db.CallFailed, Reason: db.ReasonNoAnswer, RetryNumber: 2}), twice, step{do: stepFail, reason: db.ReasonNoAnswer}},
		"no retries configured":        {phone(call(db.CallFailed, db.ReasonNoAnswer)), InterviewInput{}, step{do: stepFail, reason: db.ReasonNoAnswer}},
		"the retry was deleted":        {phone(call(db.CallFailed, db.ReasonNoAnswer)), InterviewInput{NoAnswerRetries: 2, RetriedCall: id}, step{do: stepWait, what: "a call to be invoked"}},
		"another call nobody answered": {phone(call(db.CallFailed, db.ReasonNoAnswer)), InterviewInput{NoAnswerRetries: 2, RetriedCall: other}, step{do: stepRetryCall}},
		"every call was deleted":       {phone(activities.CallState{}), twice, step{do: stepWait, what: "a call to be invoked"}},

		"placed call was deleted":  {phone(activities.CallState{}), placed, step{do: stepHangUp}},
		"placed call was replaced": {phone(activities.CallState{ID: other, Status: db.CallScheduled, ScheduledAt: now}), placed, step{do: stepHangUp}},
		"canceled while it rings":  {change(phone(call(db.CallCancelled, "X")), func(s *activities.InterviewState) { s.Status = db.InterviewCanceled }), placed, step{do: stepHangUp}},
		"canceled in progress": {change(talk, func(s *activities.InterviewState) {
			s.Status, s.Call = db.InterviewCanceled, call(db.CallInProgress, "")
		}), placed, step{do: stepHangUp}},
		"talked for too long": {change(talk, func(s *activities.InterviewState) {
			s.Status, s.Call = db.InterviewFailed, call(db.CallFailed, db.ReasonMaxDuration)
		}), placed, step{do: stepHangUp}},
		"provider not reached": {change(talk, func(s *activities.InterviewState) {
			s.Status, s.Call = db.InterviewFailed, call(db.CallFailed, db.ReasonProvider)
		}), placed, step{do: stepHangUp}},
		"canceled, hung up": {change(phone(call(db.CallCancelled, "X")), func(s *activities.InterviewState) { s.Status = db.InterviewCanceled }), twice, step{do: stepDone}},
		"provider said that it failed": {change(talk, func(s *activities.InterviewState) {
			s.Status, s.Call = db.InterviewFailed, call(db.CallFailed, db.ReasonTechnical)
		}), placed, step{do: stepDone}},
		"provider said it is completed": {change(pending, func(s *activities.InterviewState) {
			s.Analysis, s.Call = db.AnalysisCompleted, call(db.CallCompleted, "")
		}), placed, step{do: stepDone}},

		"analysis asked for":              {change(pending, func(s *activities.InterviewState) { s.HasAnalyser = true }), twice, step{do: stepRequestAnalysis}},
		"analysis asked for once":         {change(pending, func(s *activities.InterviewState) { s.HasAnalyser = true }), InterviewInput{AnalysisRequested: true}, step{do: stepWait, until: now.Add(hour), what: "the analysis"}},
		"analysis comes from the API":     {pending, twice, step{do: stepWait, until: now.Add(hour), what: "the analysis"}},
		"analysis overdue":                {change(pending, func(s *activities.InterviewState) { s.AnalysisDueAt, s.HasAnalyser = now, true }), twice, step{do: stepFailAnalysis}},
		"analysis of a deleted interview": {change(pending, func(s *activities.InterviewState) { s.Deleted, s.HasAnalyser = true, true }), twice, step{do: stepDone}},
		"analysis failed":                 {change(pending, func(s *activities.InterviewState) { s.Analysis = db.AnalysisFailed }), twice, step{do: stepDone}},
		"completed without an analysis":   {change(pending, func(s *activities.InterviewState) { s.Analysis = "" }), twice, step{do: stepDone}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			assert.Equal(t, c.want, nextStep(c.state, now, c.in))
		})
	}
}
