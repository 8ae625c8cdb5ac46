package profiles

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/google/uuid"

	"greenroom/activities/webhook"
	"greenroom/db/catalog"
)

// wiseway is the contract of receivers written for the WiseWay positions API: {"event","timestamp","data"} with the
// candidate's details, the position and the interview, and a signature header.
//
// The original publishes neither the body's form nor the signature nor the retries. Body: the envelope that is common
// in the field; ids are UUIDs, data omits a part that the event is not about, and an unknown value is null. The invite
// link is left out, because it is the candidate's credential. Signature: a time and a version, as Stripe's, so that a
// receiver can refuse a replayed request:
//
//	X-WiseWay-Signature: t=<unix seconds>,v1=<hex HMAC-SHA256 of "<t>.<body>">
//
// keyed with the secret's 64 hex characters as text, because that is what a user copies into the receiver's
// configuration, and most HMAC libraries take a key as text.
var wiseway = webhook.Profile{
	Name: "wiseway",
	Events: []webhook.Event{
		event("interview.completed", catalog.InterviewFinished), // finished by the candidate, not yet analysed
		event("interview.started", catalog.InterviewStarted),
		event("candidate.invited", catalog.CandidateInvited),
		event("candidate.created", catalog.CandidateCreated),
		event("position.created", catalog.JobCreated),
		event("position.updated", catalog.JobUpdated),
	},
	Schedule:    standardSchedule,
	Timeout:     15 * time.Second,
	Success:     webhook.Success2xx,
	SuccessRule: webhook.Success2xxRule,
	UserAgent:   webhook.UserAgent,
	Reserved:    []string{wisewaySignature},
	Signature: wisewaySignature +
		`: t=<unix seconds>,v1=<hex HMAC-SHA256 of "<t>.<body>", keyed with the secret's hex text>`,
	Render: renderWiseway,
	Sign:   signWiseway,
}

const wisewaySignature = "X-Wiseway-Signature" // in net/http's canonical form

type wisewayData struct {
	Candidate *wisewayCandidate `json:"candidate,omitempty"`
	Position  *wisewayPosition  `json:"position,omitempty"`
	Interview *wisewayInterview `json:"interview,omitempty"`
}

type wisewayCandidate struct {
	ID        uuid.UUID `json:"id"`
	Name      string    `json:"name"`
	FirstName string    `json:"firstName"`
	LastName  string    `json:"lastName"`
	Email     *string   `json:"email"`
	Phone     *string   `json:"phone"`
	Status    string    `json:"status"`
	CreatedAt stamp     `json:"createdAt"`
	UpdatedAt stamp     `json:"updatedAt"`
}

type wisewayPosition struct {
	ID          uuid.UUID `json:"id"`
	Title       string    `json:"title"`
	Description *string   `json:"description"`
	Status      string    `json:"status"`
	CreatedAt   stamp     `json:"createdAt"`
	UpdatedAt   stamp     `json:"updatedAt"`
}

type wisewayInterview struct {
	ID          uuid.UUID `json:"id"`
	Status      string    `json:"status"`
	InvitedAt   stamp     `json:"invitedAt"`
	ExpiresAt   stamp     `json:"expiresAt"`
	StartedAt   stamp     `json:"startedAt"`
	CompletedAt stamp     `json:"completedAt"`
}

func renderWiseway(m webhook.Message) ([]byte, error) {
	data, err := wisewayDataOf(m)
	if err != nil {
		return nil, err
	}
	b := append(newBody(data), `{"event":`...)
	b = appendString(b, m.EventName)
	b = append(b, `,"timestamp":`...)
	b = appendTime(b, m.OccurredAt)
	b = append(b, `,"data":`...)
	b = append(b, data...)
	return append(b, '}'), nil
}

func wisewayDataOf(m webhook.Message) (json.RawMessage, error) {
	c := m.Context
	if c == nil {
		return dataOf(m)
	}
	var d wisewayData
	if c.Candidate != nil {
		d.Candidate = &wisewayCandidate{
			ID: c.Candidate.ID, Name: c.Candidate.Name(), FirstName: c.Candidate.FirstName, LastName: c.Candidate.LastName,
			Email: c.Candidate.Email, Phone: c.Candidate.PhoneNumber, Status: c.Candidate.Status,
			CreatedAt: stamp(c.Candidate.CreatedAt), UpdatedAt: stamp(c.Candidate.UpdatedAt),
		}
	}
	if c.Job != nil {
		d.Position = &wisewayPosition{
			ID: c.Job.ID, Title: c.Job.Title, Description: c.Job.Description, Status: c.Job.Status,
			CreatedAt: stamp(c.Job.CreatedAt), UpdatedAt: stamp(c.Job.UpdatedAt),
		}
	}
	if c.Interview != nil {
		d.Interview = &wisewayInterview{
			ID: c.Interview.ID, Status: c.Interview.Status, InvitedAt: stamp(c.Interview.CreatedAt),
			ExpiresAt: stampOf(c.Interview.DeadlineAt), StartedAt: stampOf(c.Interview.StartedAt),
			CompletedAt: stampOf(c.Interview.FinishedAt),
		}
	}
	return encode(d)
}

// signWiseway signs with each secret, one v1 each, so that the receiver may switch at any time during a rotation.
func signWiseway(h http.Header, _ webhook.Message, s webhook.Secrets, body []byte, at time.Time) {
	if len(s) == 0 {
		return
	}
	ts := strconv.FormatInt(at.Unix(), 10)
	value := "t=" + ts
	for _, secret := range s {
		value += ",v1=" + hexHMAC([]byte(webhook.SecretHex(secret)), []byte(ts+"."), body)
	}
	h[wisewaySignature] = []string{value}
}
