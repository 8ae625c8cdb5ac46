// Package catalog names what can happen: the domain's event types, and what each profile calls them. Pure Go.
//
// Two moments look alike and are kept apart: interview.finished (the candidate is done) and interview.completed (finished
// and analysed). A profile maps the one its contract means to its own name.
package catalog

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

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
	// Ping is the connectivity test: made by a test call, for one webhook, never by the domain.
	Ping = "ping"
)

// Type is one domain event type.
type Type struct {
	Name string
	// When says in one sentence what has happened.
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
	{Ping, "a connectivity test"},
}

// Types lists the domain event types in catalogue order.
func Types() []Type { return slices.Clone(types) }

// Known reports whether name is a domain event type.
func Known(name string) bool {
	return slices.ContainsFunc(types, func(t Type) bool { return t.Name == name })
}

// Publishable reports whether POST /events may publish the type: all but ping.
func Publishable(name string) bool { return name != Ping && Known(name) }

// Profile names.
const (
	ProfileInstaview = "instaview"
	ProfileStandard  = "standard"
)

// Names are a profile's words for domain event types.
type Names struct {
	// Labels in the profile's order; where the contract has numeric ids, the id is the index.
	Labels []Label
	// Numbered: how many of the first labels have a numeric id (0 = the contract has none).
	Numbered int
}

// Label ties a domain type to a profile's name for it.
type Label struct{ Type, Name string }

// instaview's ids 0–5 are wire contract (reference §1.8); the four added on 25 May 2026 have no published id.
var profiles = map[string]Names{
	ProfileInstaview: {Numbered: 6, Labels: same(
		AnalysisCompleted, AnalysisFailed, Ping, InterviewCompleted, InterviewFailed, InterviewStarted,
		SourcingCompleted, SourcingFailed, EnrichCompleted, EnrichFailed)},
	ProfileStandard: {Labels: same(typeNames()...)},
}

func typeNames() []string {
	names := make([]string, len(types))
	for i, t := range types {
		names[i] = t.Name
	}
	return names
}

func same(names ...string) []Label {
	labels := make([]Label, len(names))
	for i, n := range names {
		labels[i] = Label{n, n}
	}
	return labels
}

// ErrUnknown is returned for a profile or an event that the catalogue does not have.
var ErrUnknown = errors.New("not in the catalogue")

// ForProfile returns a profile's names.
func ForProfile(profile string) (Names, error) {
	n, ok := profiles[profile]
	if !ok {
		return Names{}, fmt.Errorf("profile %q: %w", profile, ErrUnknown)
	}
	return n, nil
}

// ByNumber returns the domain type of a numeric id.
func (n Names) ByNumber(id int) (string, error) {
	if id < 0 || id >= n.Numbered {
		return "", fmt.Errorf("event %d: %w", id, ErrUnknown)
	}
	return n.Labels[id].Type, nil
}

// ByName returns the domain type of a label (interview.started) or of its upper-case form (INTERVIEW_STARTED).
func (n Names) ByName(name string) (string, error) {
	for _, l := range n.Labels {
		if l.Name == name || upper(l.Name) == name {
			return l.Type, nil
		}
	}
	return "", fmt.Errorf("event %q: %w", name, ErrUnknown)
}

// Name returns the profile's name of a domain type; a type without one keeps its own.
func (n Names) Name(domainType string) string {
	for _, l := range n.Labels {
		if l.Type == domainType {
			return l.Name
		}
	}
	return domainType
}

// Numbers lists the numeric ids, for error answers.
func (n Names) Numbers() []int {
	ids := make([]int, n.Numbered)
	for i := range ids {
		ids[i] = i
	}
	return ids
}

func upper(label string) string { return strings.ToUpper(strings.ReplaceAll(label, ".", "_")) }
