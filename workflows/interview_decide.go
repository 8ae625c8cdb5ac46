package workflows

import (
	"time"

	"github.com/google/uuid"

	"greenroom/activities"
)

// stepKind is an action of the Interview workflow.
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
	// until ends a stepWait; zero: only a change of the row ends it.
	until time.Time
	// what says what a stepWait waits for, in the Temporal UI.
	what string
	// reason of a stepFail.
	reason string
}

// nextStep decides what an interview in this state needs now. in also says what was already done and is not visible in
// the row.
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

// nextCallStep decides for a phone interview that has not started.
func nextCallStep(s activities.InterviewState, now time.Time, in InterviewInput) step {
	c := s.Call
	switch {
	case c.Status == activities.CallScheduled && !c.PlacedAt.IsZero():
		return waitOrFail(now, c.PlacedAt.Add(s.MaxDuration), "a report of the call", activities.ReasonMaxDuration)
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
	// No call is scheduled: it was deleted, perhaps to stop the retries. A user of the API can invoke one.
	return step{do: stepWait, what: "a call to be invoked"}
}

// nextAnalysisStep decides for a completed interview whose analysis is pending. The analyser is asked once. The result
// arrives in the row, by its call-back or by the API.
func nextAnalysisStep(s activities.InterviewState, now time.Time, in InterviewInput) step {
	switch {
	case !s.AnalysisDueAt.IsZero() && !now.Before(s.AnalysisDueAt):
		return step{do: stepFailAnalysis}
	case s.HasAnalyser && !in.AnalysisRequested:
		return step{do: stepRequestAnalysis}
	}
	return step{do: stepWait, until: s.AnalysisDueAt, what: "the analysis"}
}

// waitOrFail waits until a limit and fails the interview once it has passed. Zero means no limit.
func waitOrFail(now, limit time.Time, what, reason string) step {
	if limit.IsZero() || now.Before(limit) {
		return step{do: stepWait, until: limit, what: what}
	}
	return step{do: stepFail, reason: reason}
}

// talking reports whether a placed call still serves its interview: it rings or is in progress. An interview that is
// deleted while in progress continues to its end.
func talking(s activities.InterviewState, call uuid.UUID) bool {
	open := s.Status == activities.InterviewScheduled || s.Status == activities.InterviewInProgress
	return open && s.Call.ID == call &&
		(s.Call.Status == activities.CallScheduled || s.Call.Status == activities.CallInProgress)
}

// endedByProvider reports whether the provider reported the end of the call, so that there is nothing to hang up.
func endedByProvider(s activities.InterviewState, call uuid.UUID) bool {
	c := s.Call
	ours := c.Reason == activities.ReasonMaxDuration || c.Reason == activities.ReasonProvider
	return c.ID == call && (c.Status == activities.CallCompleted || (c.Status == activities.CallFailed && !ours))
}
