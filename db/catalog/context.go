package catalog

import (
	"encoding/json"
	"time"

	"github.com/google/uuid"
)

// Context holds the rows that an event concerns, as they were when it occurred. Profiles use it for the fields of a
// body that the event's data does not have. It is stored with the event, so a body rendered later is the same as one
// rendered at once. Parts that do not concern an event are nil. An event published through the API has no context.
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

	// Recordings lists the interview's recordings so far.
	Recordings []Recording `json:"recordings,omitempty"`
	// Created reports that this event's change created the candidate, as when one is added and invited at once.
	Created bool `json:"created,omitempty"`
	// Changed lists the fields that an update changed, by column name.
	Changed []string `json:"changed,omitempty"`
}

// Object identifies a row by both of its ids.
type Object struct {
	ID     uuid.UUID `json:"id"`
	Number int64     `json:"number"`
}

// Company is a customer of the platform.
type Company struct {
	Object
	Name string `json:"name"`
}

// Job is what other contracts call a position, a project or an AI interview.
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

// Name returns the full name.
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

// Analysis is the evaluation of an interview, as the analyser returned it.
type Analysis struct {
	ID       uuid.UUID       `json:"id"`
	General  json.RawMessage `json:"general,omitempty"`
	Specific json.RawMessage `json:"specific,omitempty"`
}

// Recording is one recording of an interview. Either URL (stored elsewhere) or Video (an answer video stored here) is
// set.
type Recording struct {
	URL             string    `json:"url,omitempty"`
	Video           *Object   `json:"video,omitempty"`
	At              time.Time `json:"at"`
	DurationSeconds *int      `json:"durationSeconds,omitempty"`
}
