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
	WebhookFailing       = "webhook.failing"
	WebhookCircuitOpened = "webhook.circuit_opened"
	WebhookCircuitClosed = "webhook.circuit_closed"
	WebhookDisabled      = "webhook.disabled"
	DeliveryExhausted    = "delivery.exhausted"
	ReplayFinished       = "replay.finished"
	SecretRotated        = "secret.rotated"
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
	{WebhookFailing, "the first attempts of five deliveries to a webhook failed since the last success"},
	{WebhookCircuitOpened, "the circuit of a webhook opened: its deliveries are paused"},
	{WebhookCircuitClosed, "the circuit of a webhook closed: its paused deliveries are sent"},
	{WebhookDisabled, "a webhook was deactivated, or disabled because of its receiver"},
	{DeliveryExhausted, "a delivery failed for good and is not attempted again"},
	{ReplayFinished, "a replay or catch-up was completed or canceled"},
	{SecretRotated, "a webhook got a new signing secret"},
	{Ping, "a connectivity test"},
}

// operational are the event types about the delivery of events.
var operational = []string{
	WebhookFailing, WebhookCircuitOpened, WebhookCircuitClosed, WebhookDisabled, DeliveryExhausted, ReplayFinished,
	SecretRotated,
}

// Operational lists the event types about the delivery of events. Nobody publishes them, an event about a webhook is
// not delivered to that webhook, and a delivery of one makes none when it fails.
func Operational() []string { return slices.Clone(operational) }

// IsOperational reports whether an event type is about the delivery of events.
func IsOperational(name string) bool { return slices.Contains(operational, name) }

// Types returns a copy of the domain event types, in catalogue order.
func Types() []Type { return slices.Clone(types) }
