package profiles

import (
	"time"

	"greenroom/activities/webhook"
	"greenroom/db/catalog"
)

// aiInterviews is the contract of receivers written for Xobin's AI interviews: flat bodies without an envelope or an
// event name. URL and invite_status distinguish the two events. "submission" is sent after the interview is finished
// and evaluated.
//
// Not documented in the original, chosen here: any 2xx, and the schedule and timeout of Standard Webhooks. A credential
// from the receiver's settings proves the sender: an ordinary custom header of the webhook.
var aiInterviews = webhook.Profile{
	Name: "ai-interviews",
	Events: []webhook.Event{
		event("start", catalog.InterviewStarted),
		event("submission", catalog.InterviewCompleted),
	},
	Schedule:    standardSchedule,
	Timeout:     15 * time.Second,
	Success:     webhook.Success2xx,
	SuccessRule: webhook.Success2xxRule,
	UserAgent:   webhook.UserAgent,
	SampleTest:  true, // the original's "Send Response" (reference 2.4): a receiver reads the flat fields
	Render:      renderAIInterviews,
}

// AIResponse begins every body about one response, that is one interview. A number is null if the row does not exist,
// e.g. for an interview without a job.
type AIResponse struct {
	InterviewID    *int64  `json:"ai_interview_id"`
	InterviewName  *string `json:"ai_interview_name"`
	CandidateEmail *string `json:"candidate_email"`
	CandidateID    *int64  `json:"candidate_id"`
	CandidateName  string  `json:"candidate_name"`
	InviteStatus   string  `json:"invite_status"`
	ResponseID     *int64  `json:"response_id"`
}

func renderAIInterviews(m webhook.Message) ([]byte, error) {
	switch {
	case m.Context == nil: // a published event: the contract has no envelope
		return dataOf(m)
	case m.EventType == catalog.InterviewCompleted:
		return encode(AIReportOf(m.Context, m.BaseURL))
	case m.EventType == catalog.InterviewStarted:
		return encode(aiResponseOf(m.Context, "Started"))
	}
	return dataOf(m)
}

func aiResponseOf(c *catalog.Context, status string) AIResponse {
	r := AIResponse{InviteStatus: status}
	if c.Job != nil {
		r.InterviewID, r.InterviewName = &c.Job.Number, &c.Job.Title
	}
	if c.Candidate != nil {
		r.CandidateID, r.CandidateName, r.CandidateEmail = &c.Candidate.Number, c.Candidate.Name(), c.Candidate.Email
	}
	if c.Interview != nil {
		r.ResponseID = &c.Interview.Number
	}
	return r
}
