// Package catalog defines the domain's event types and the context of an event ([Context]). Pure Go.
//
// It does not depend on profiles: a contract's names for events, and the event types that only a contract has, are in
// activities/webhook/profiles. Two similar types are distinct: interview.finished (the candidate is done) and
// interview.completed (finished and analysed). A profile maps the type that its contract means to its own name.
package catalog

import "slices"

// Domain event types.
const (
	InterviewScheduled   = "interview.scheduled"
	InterviewRescheduled = "interview.rescheduled"
	InterviewStarted     = "interview.started"
	InterviewFinished    = "interview.finished"
	InterviewCompleted   = "interview.completed"
	InterviewFailed      = "interview.failed"
	InterviewCanceled    = "interview.canceled"
	AnalysisCompleted    = "analysis.completed"
	AnalysisFailed       = "analysis.failed"
	CandidateCreated     = "candidate.created"
	CandidateInvited     = "candidate.invited"
	CandidateUpdated     = "candidate.updated"
	CandidateErased      = "candidate.erased"
	JobCreated           = "job.created"
	JobUpdated           = "job.updated"
	SourcingCompleted    = "sourcing.completed"
	SourcingFailed       = "sourcing.failed"
	EnrichCompleted      = "enrich.completed"
	EnrichFailed         = "enrich.failed"
	InterviewDeleted     = "interview.deleted"
	ParticipantJoined    = "participant.joined"
	ParticipantLeft      = "participant.left"
	RecordingCompleted   = "recording.completed"
	AnswerVideoCreated   = "answer_video.created"
	AnswerVideoUpdated   = "answer_video.updated"
	RatingCreated        = "rating.created"
	RatingUpdated        = "rating.updated"
	NoteCreated          = "note.created"
	NoteUpdated          = "note.updated"
	WebhookDisabled      = "webhook.disabled"
	// Ping is the connectivity test: sent to one webhook by its test endpoint, never by a change in the domain.
	Ping = "ping"
)

// Type is one domain event type.
type Type struct {
	Name string
	// When describes in one sentence when the event occurs.
	When string
}

var types = []Type{
	{InterviewScheduled, "an interview was created"},
	{InterviewRescheduled, "an interview or its pending call got a new time"},
	{InterviewStarted, "the interview session began"},
	{InterviewFinished, "the candidate finished; the analysis is still to come"},
	{InterviewCompleted, "the interview is finished and its analysis is available"},
	{InterviewFailed, "the interview ended without being held to its end"},
	{InterviewCanceled, "the interview was canceled"},
	{AnalysisCompleted, "the analysis finished successfully"},
	{AnalysisFailed, "the analysis could not be made"},
	{CandidateCreated, "a candidate was created without an invitation"},
	{CandidateInvited, "a candidate was added and invited to an interview"},
	{CandidateUpdated, "a candidate was modified"},
	{CandidateErased, "a candidate was erased; receivers must erase what they know of the person"},
	{JobCreated, "a job was created"},
	{JobUpdated, "a job was modified"},
	{SourcingCompleted, "a sourcing request finished"},
	{SourcingFailed, "a sourcing request failed"},
	{EnrichCompleted, "an enrichment request finished"},
	{EnrichFailed, "an enrichment request failed"},
	{InterviewDeleted, "an interview was deleted"},
	{ParticipantJoined, "the candidate came into the interview"},
	{ParticipantLeft, "the candidate left the interview"},
	{RecordingCompleted, "a recording of an interview is available"},
	{AnswerVideoCreated, "a candidate answered a question with a video"},
	{AnswerVideoUpdated, "a candidate's answer video was replaced"},
	{RatingCreated, "a staff user rated a candidate"},
	{RatingUpdated, "a rating was changed"},
	{NoteCreated, "a staff user wrote a note"},
	{NoteUpdated, "a note was changed"},
	{WebhookDisabled, "a webhook was disabled because its circuit had been open for too long"},
	{Ping, "a connectivity test"},
}

// Types returns a copy of the domain event types, in catalogue order.
func Types() []Type { return slices.Clone(types) }
