package catalog

import (
	"encoding/json"
	"time"

	"github.com/google/uuid"
)

// Context is what an event was about, as it was in the moment it happened: what a profile's body may say beyond the
// event's data. It is stored with the event, so that a body rendered late says the same as one rendered at once.
// Parts that an event is not about are nil; an event that was published, not made here, has no context at all.
type Context struct {
	Company   *Company   `json:"company,omitempty"`
	Job       *Job       `json:"job,omitempty"`
	Candidate *Candidate `json:"candidate,omitempty"`
	Interview *Interview `json:"interview,omitempty"`
	Analysis  *Analysis  `json:"analysis,omitempty"`

	Question    *Object `json:"question,omitempty"`
	AnswerVideo *Object `json:"answerVideo,omitempty"`
	Rating      *Object `json:"rating,omitempty"`
	Note        *Object `json:"note,omitempty"`
	// Staff is the staff user who wrote the note or the rating.
	Staff *Object `json:"staff,omitempty"`

	// Recordings are those of the interview so far.
	Recordings []Recording `json:"recordings,omitempty"`
	// Created: the candidate came into being with this event's change, as one that is added and invited at once does.
	Created bool `json:"created,omitempty"`
	// Changed names the fields that an update changed, as the columns are called.
	Changed []string `json:"changed,omitempty"`
}

// Object is a row by both of its ids.
type Object struct {
	ID     uuid.UUID `json:"id"`
	Number int64     `json:"number"`
}

// Company is a customer.
type Company struct {
	Object
	Name string `json:"name"`
}

// Job is a position, a project, an AI interview.
type Job struct {
	Object
	Title       string    `json:"title"`
	Description *string   `json:"description,omitempty"`
	Status      string    `json:"status"`
	CreatedAt   time.Time `json:"createdAt"`
	UpdatedAt   time.Time `json:"updatedAt"`
}

// Candidate is a person who may be interviewed.
type Candidate struct {
	Object
	FirstName   string    `json:"firstName"`
	LastName    string    `json:"lastName"`
	Email       *string   `json:"email,omitempty"`
	PhoneNumber *string   `json:"phoneNumber,omitempty"`
	Status      string    `json:"status"`
	CreatedAt   time.Time `json:"createdAt"`
	UpdatedAt   time.Time `json:"updatedAt"`
}

// Name is the full name.
func (c *Candidate) Name() string {
	switch {
	case c.FirstName == "":
		return c.LastName
	case c.LastName == "":
		return c.FirstName
	}
	return c.FirstName + " " + c.LastName
}

// Interview is one interview of one candidate.
type Interview struct {
	Object
	Type         string     `json:"type"`
	Status       string     `json:"status"`
	StatusReason *string    `json:"statusReason,omitempty"`
	AgentID      uuid.UUID  `json:"agentId"`
	AgentName    string     `json:"agentName"`
	Language     string     `json:"language"`
	PlannedMin   int        `json:"plannedMinutes"`
	ScheduledAt  time.Time  `json:"scheduledAt"`
	DeadlineAt   *time.Time `json:"deadlineAt,omitempty"`
	StartedAt    *time.Time `json:"startedAt,omitempty"`
	FinishedAt   *time.Time `json:"finishedAt,omitempty"`
	CustomField  *string    `json:"customField,omitempty"`
	CreatedAt    time.Time  `json:"createdAt"`
}

// Analysis is the evaluation of an interview, as the analyser gave it.
type Analysis struct {
	ID       uuid.UUID       `json:"id"`
	General  json.RawMessage `json:"general,omitempty"`
	Specific json.RawMessage `json:"specific,omitempty"`
}

// Recording is one recording of an interview. Either URL (kept elsewhere) or Video (an answer video kept here) is set.
type Recording struct {
	URL             string    `json:"url,omitempty"`
	Video           *Object   `json:"video,omitempty"`
	At              time.Time `json:"at"`
	DurationSeconds *int      `json:"durationSeconds,omitempty"`
}
