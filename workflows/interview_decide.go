package workflows

import (
	"time"

	"github.com/google/uuid"

	"greenroom/activities"
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
	case s.Status == activities.InterviewScheduled && s.Type == activities.Phone:
		return nextCallStep(s, now, in)
	case s.Status == activities.InterviewScheduled:
		return waitOrFail(now, s.DeadlineAt, "the invitation's deadline", activities.ReasonInvitationExpired)
	case s.Status == activities.InterviewInProgress:
		return waitOrFail(now, s.StartedAt.Add(s.MaxDuration), "the maximum duration", activities.ReasonMaxDuration)
	case s.Status == activities.InterviewCompleted && s.Analysis == activities.AnalysisPending && !s.Deleted:
		return nextAnalysisStep(s, now, in)
	}
	return step{do: stepDone}
}

// nextCallStep is about an interview by telephone that has not started.
func nextCallStep(s activities.InterviewState, now time.Time, in InterviewInput) step {
	c := s.Call
	switch {
	case c.Status == activities.CallScheduled && !c.PlacedAt.IsZero():
		return waitOrFail(now, c.PlacedAt.Add(s.MaxDuration), "news of the call", activities.ReasonMaxDuration)
	case c.Status == activities.CallScheduled && now.Before(c.ScheduledAt):
		return step{do: stepWait, until: c.ScheduledAt, what: "the time of the call"}
	case c.Status == activities.CallScheduled:
		return step{do: stepPlaceCall}
	case c.Status == activities.CallFailed && c.Reason == activities.ReasonNoAnswer && c.ID != in.RetriedCall:
		if c.RetryNumber < in.NoAnswerRetries {
			return step{do: stepRetryCall}
		}
		return step{do: stepFail, reason: activities.ReasonNoAnswer}
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
	open := s.Status == activities.InterviewScheduled || s.Status == activities.InterviewInProgress
	return open && s.Call.ID == call &&
		(s.Call.Status == activities.CallScheduled || s.Call.Status == activities.CallInProgress)
}

// endedByProvider reports whether the provider itself said that the call is over, so that there is nothing to hang up.
func endedByProvider(s activities.InterviewState, call uuid.UUID) bool {
	c := s.Call
	ours := c.Reason == activities.ReasonMaxDuration || c.Reason == activities.ReasonProvider
	return c.ID == call && (c.Status == activities.CallCompleted || (c.Status == activities.CallFailed && !ours))
}
