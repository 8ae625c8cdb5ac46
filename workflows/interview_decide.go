package workflows

import (
	"time"

	"github.com/google/uuid"

	"greenroom/activities"
	"greenroom/db"
)

// stepKind is what an interview's process manager can do.
type stepKind int

const (
	stepWait stepKind = iota
	stepPlaceCall
	stepRetryCall
	stepHangUp
	stepFail
	stepRequestAnalysis
	stepFailAnalysis
	stepDone
)

// step is the one thing to do next.
type step struct {
	do stepKind
	// until ends a stepWait; zero: only a change of the row does.
	until time.Time
	// what a stepWait waits for, in words for the Temporal UI.
	what string
	// reason of a stepFail.
	reason string
}

// nextStep decides what an interview in this state needs now. in also says what was done already and cannot be seen
// in the row.
func nextStep(s activities.InterviewState, now time.Time, in InterviewInput) step {
	if in.PlacedCall != uuid.Nil && !talking(s, in.PlacedCall) && !endedByProvider(s, in.PlacedCall) {
		return step{do: stepHangUp}
	}
	switch {
	case s.Status == db.InterviewScheduled && s.Type == db.Phone:
		return nextCallStep(s, now, in)
	case s.Status == db.InterviewScheduled:
		return waitOrFail(now, s.DeadlineAt, "the invitation's deadline", db.ReasonInvitationExpired)
	case s.Status == db.InterviewInProgress:
		return waitOrFail(now, s.StartedAt.Add(s.MaxDuration), "the maximum duration", db.ReasonMaxDuration)
	case s.Status == db.InterviewCompleted && s.Analysis == db.AnalysisPending && !s.Deleted:
		return nextAnalysisStep(s, now, in)
	}
	return step{do: stepDone}
}

// nextCallStep is about an interview by telephone that has not started.
func nextCallStep(s activities.InterviewState, now time.Time, in InterviewInput) step {
	c := s.Call
	switch {
	case c.Status == db.CallScheduled && !c.PlacedAt.IsZero():
		return waitOrFail(now, c.PlacedAt.Add(s.MaxDuration), "news of the call", db.ReasonMaxDuration)
	case c.Status == db.CallScheduled && now.Before(c.ScheduledAt):
		return step{do: stepWait, until: c.ScheduledAt, what: "the time of the call"}
	case c.Status == db.CallScheduled:
		return step{do: stepPlaceCall}
	case c.Status == db.CallFailed && c.Reason == db.ReasonNoAnswer && c.ID != in.RetriedCall:
		if c.RetryNumber < in.NoAnswerRetries {
			return step{do: stepRetryCall}
		}
		return step{do: stepFail, reason: db.ReasonNoAnswer}
	}
	// There is no call to come: it was deleted, perhaps to stop the retries. It is for the API's user to invoke one.
	return step{do: stepWait, what: "a call to be invoked"}
}

// nextAnalysisStep is about a completed interview whose analysis is pending. The analyser is asked once; whether it
// answers by call-back or somebody posts a result to the API, the row will say so.
func nextAnalysisStep(s activities.InterviewState, now time.Time, in InterviewInput) step {
	switch {
	case !s.AnalysisDueAt.IsZero() && !now.Before(s.AnalysisDueAt):
		return step{do: stepFailAnalysis}
	case s.HasAnalyser && !in.AnalysisRequested:
		return step{do: stepRequestAnalysis}
	}
	return step{do: stepWait, until: s.AnalysisDueAt, what: "the analysis"}
}

// waitOrFail waits until a limit and fails the interview once it has passed; a zero limit is none.
func waitOrFail(now, limit time.Time, what, reason string) step {
	if limit.IsZero() || now.Before(limit) {
		return step{do: stepWait, until: limit, what: what}
	}
	return step{do: stepFail, reason: reason}
}

// talking reports whether a placed call still serves its interview: it rings or is in progress. An interview that was
// deleted while in progress goes on to its end.
func talking(s activities.InterviewState, call uuid.UUID) bool {
	open := s.Status == db.InterviewScheduled || s.Status == db.InterviewInProgress
	return open && s.Call.ID == call && (s.Call.Status == db.CallScheduled || s.Call.Status == db.CallInProgress)
}

// endedByProvider reports whether the provider itself said that the call is over, so that there is nothing to hang up.
func endedByProvider(s activities.InterviewState, call uuid.UUID) bool {
	c := s.Call
	ours := c.Reason == db.ReasonMaxDuration || c.Reason == db.ReasonProvider
	return c.ID == call && (c.Status == db.CallCompleted || (c.Status == db.CallFailed && !ours))
}
