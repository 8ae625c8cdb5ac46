package profiles

import (
	"time"

	"greenroom/activities/webhook"
	"greenroom/db/catalog"
)

// aiInterviews is the contract of receivers written for Xobin's AI interviews: flat bodies without an envelope or an
// event name; the two are told apart by URL and invite_status. "submission" comes when the interview is finished and
// evaluated.
//
// Silent in the original, chosen here: any 2xx, the schedule and time-out of Standard Webhooks. What proves the
// sender is the credential that the receiver was given in the settings: an ordinary custom header of the webhook.
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
	Render:      renderAIInterviews,
}

// AIResponse is what every body about one response, that is one interview, begins with. Numbers are null where there
// is no such row: an interview of no job.
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
	case m.Context == nil: // published: there is no envelope to put it into
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
