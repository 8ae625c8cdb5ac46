package profiles

import (
	"encoding/json"
	"time"

	"greenroom/activities/webhook"
	"greenroom/db/catalog"
)

// interviewSuite is the contract of receivers written for viasto's interview suite:
// {"endpoint","time","event","data"}. data holds action (created or modified) and the URLs of resources, which the
// receiver fetches with its own token.
//
// Not documented in the original, chosen here: any 2xx, and the schedule and timeout of Standard Webhooks; a change of
// several fields at once is one delivery; data omits what does not exist, e.g. the project of a candidate without one.
var interviewSuite = webhook.Profile{
	Name: "interview-suite",
	Events: []webhook.Event{
		event("project_changed", catalog.JobCreated, catalog.JobUpdated),
		// The status and the dates of a candidate follow the interview: confirmed, interviewed, expired, failed, canceled.
		event(
			"candidate_changed",
			catalog.CandidateCreated,
			catalog.CandidateInvited,
			catalog.CandidateUpdated,
			catalog.InterviewFinished,
			catalog.InterviewStarted,
			catalog.InterviewFailed,
			catalog.InterviewCanceled,
		),
		event("answervideo_changed", catalog.AnswerVideoCreated, catalog.AnswerVideoUpdated),
		event("rating_changed", catalog.RatingCreated, catalog.RatingUpdated),
		event("note_changed", catalog.NoteCreated, catalog.NoteUpdated),
	},
	Schedule:    standardSchedule,
	Timeout:     15 * time.Second,
	Success:     webhook.Success2xx,
	SuccessRule: webhook.Success2xxRule,
	UserAgent:   "interview suite webhook",
	ByOperator:  true, // the original: customers ask the helpdesk, naming event and endpoint (reference 1.1)
	Render:      renderInterviewSuite,
}

// suiteBody is a body in the order of the original's example.
type suiteBody struct {
	Endpoint string          `json:"endpoint"`
	Time     string          `json:"time"`
	Event    string          `json:"event"`
	Data     json.RawMessage `json:"data"`
}

// suiteData has the keys of all events; each event uses some of them.
type suiteData struct {
	Action      string `json:"action"`
	Project     string `json:"project,omitempty"`
	Customer    string `json:"customer,omitempty"`
	Candidate   string `json:"candidate,omitempty"`
	Question    string `json:"question,omitempty"`
	AnswerVideo string `json:"answervideo,omitempty"`
	Rating      string `json:"rating,omitempty"`
	Note        string `json:"note,omitempty"`
}

func renderInterviewSuite(m webhook.Message) ([]byte, error) {
	data, err := suiteDataOf(m)
	if err != nil {
		return nil, err
	}
	// The original's format: microseconds, and the offset in digits.
	at := m.OccurredAt.UTC().Format("2006-01-02T15:04:05.000000-07:00")
	return encode(suiteBody{m.Endpoint, at, m.EventName, data})
}

func suiteDataOf(m webhook.Message) (json.RawMessage, error) {
	if m.Context == nil {
		return dataOf(m)
	}
	l := messageLinks(m)
	d := suiteData{Action: suiteAction(m), Project: l.project()}
	switch m.EventName {
	case "candidate_changed":
		d.Candidate = l.candidate()
	case "answervideo_changed":
		d.Candidate, d.Question, d.AnswerVideo = l.candidate(), l.question(), l.answerVideo(m.Context.AnswerVideo)
	case "rating_changed":
		d.Candidate, d.Rating = l.candidate(), l.rating()
	case "note_changed":
		d.Customer, d.Candidate, d.Note = l.staff(), l.candidate(), l.note()
		d.AnswerVideo = l.answerVideo(m.Context.AnswerVideo)
	}
	return encode(d)
}

// suiteAction returns "created" if the event created the row. An invitation of an existing candidate modifies it.
func suiteAction(m webhook.Message) string {
	switch m.EventType {
	case catalog.JobCreated,
		catalog.CandidateCreated,
		catalog.AnswerVideoCreated,
		catalog.RatingCreated,
		catalog.NoteCreated:
		return "created"
	case catalog.CandidateInvited:
		if m.Context.Created {
			return "created"
		}
	}
	return "modified"
}
