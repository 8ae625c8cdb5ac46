package console

import (
	"encoding/json"
	"time"
)

// The API's answers, as far as pages show them.

type wireDelivery struct {
	ID, EventID, WebhookID  string
	CompanyID               *string
	EventType, Status       string
	IsTest                  bool
	Generation              int
	AttemptCount            int
	NextAttemptAt           *time.Time
	LastStatusCode          *int
	LastError, WorkflowID   *string
	CreatedAt, UpdatedAt    time.Time
	Body                    json.RawMessage
	Attempts                []wireAttempt
	Explanation             struct{ Why, Next string }
	WebhookName, WebhookURL string `json:"-"`
}

// wireRequest is the request of an attempt, with the signature of each secret in use.
type wireRequest struct {
	URL       string
	Timestamp int64
	Attempt   *wireAttempt
	Headers   []struct {
		Name   string
		Value  *string
		Source string
	}
	Body       string
	Signatures []struct {
		Fingerprint      string
		IsCurrent, Signs bool
		Signature        string
		Matches          *bool
	}
	Check *struct {
		Matches bool
		Why     string
	}
}

// At is the signed time.
func (r wireRequest) At() time.Time { return time.Unix(r.Timestamp, 0) }

type wireFanOut struct {
	WebhookID, Name string
	Delivery        *wireDelivery
	Why             *string
}

type wireAttempt struct {
	Attempt, Generation        int
	StartedAt                  time.Time
	DurationMs                 int
	Outcome                    string
	StatusCode                 *int
	ErrorKind, Error, Response *string
	NextAttemptAt              *time.Time
	WorkflowID                 string
}

type wirePage[T any] struct {
	Data       []T
	NextCursor *string
	Total      int64
	Page       int64
	TotalPages int64
}

type wireWebhook struct {
	ID                    string
	CompanyID             *string
	URL                   string
	Name, Description     string
	Headers               []struct{ Name string }
	Auth                  *struct{ Type string }
	Events                []string
	IsActive              bool
	DisabledReason        *string
	MaxRetries, TimeoutMs int
	ConsecutiveFailures   int
	CircuitOpenedAt       *time.Time
	CircuitRecovery       *string
	Profile               string
	RateLimit             int
	Ordering, NotifyEmail *string
	OrderingOnFailure     string
	CreatedAt, UpdatedAt  time.Time
}

// State is the webhook's state in a word.
func (w wireWebhook) State() string {
	switch {
	case w.CircuitOpenedAt != nil:
		return "circuit open"
	case !w.IsActive && w.DisabledReason != nil:
		return "disabled"
	case !w.IsActive:
		return "inactive"
	}
	return "active"
}

// Label is the webhook's name, or its host.
func (w wireWebhook) Label() string {
	if w.Name != "" {
		return w.Name
	}
	return host(w.URL)
}

// nameIn adds the webhook's name to its deliveries.
func (w wireWebhook) nameIn(ds []wireDelivery) []wireDelivery {
	for i := range ds {
		ds[i].WebhookName, ds[i].WebhookURL = w.Label(), w.URL
	}
	return ds
}

type wireSecret struct {
	Fingerprint string
	IsCurrent   bool
	CreatedAt   time.Time
	ExpiresAt   *time.Time
}

type wireReplay struct {
	ID, WebhookID string
	Since, Until  time.Time
	Status        []string
	Events        []string
	State         string
	Replayed      int64
	CreatedAt     time.Time
	UpdatedAt     time.Time
}

type wireCount struct {
	Matching  int
	Estimated int64
	IsExact   bool
	Seconds   *int64
}

type wireEvent struct {
	ID, Type   string
	CompanyID  *string
	Data       json.RawMessage
	OccurredAt time.Time
}

type wireEventType struct {
	Type, Description   string
	Publishable, Custom bool
	Profiles            map[string]struct{ Label, Name string }
	Version             *int
	Schema              json.RawMessage
}

// wireSamples is an example of an event, and of the deliveries that profiles make of it.
type wireSamples struct {
	Data    json.RawMessage
	Reason  *string
	Samples []struct {
		Profile, Event   string
		Headers          map[string]string
		SignatureHeaders []string
		Body             json.RawMessage
	}
}

type wireInterview struct {
	ID                              string
	Number                          int64
	CompanyID, CandidateID, AgentID string
	Type, Status                    string
	StatusReason                    *string
	ScheduledAt                     time.Time
	DeadlineAt                      *time.Time
	StartedAt, FinishedDate         *time.Time
	AnalysisStatus, InviteURL       *string
	CallAttempts                    []wireCall
	Analysis                        json.RawMessage
	CreatedAt, UpdatedAt            time.Time
}

type wireCall struct {
	Status      string
	ReasonCode  *string
	RetryNumber int
	Duration    *int
	ScheduledAt time.Time
	CalledAt    *time.Time
}

type wireKey struct {
	ID                                string
	CompanyID                         *string
	Name, Prefix                      string
	Scopes                            []string
	ExpiresAt, SuspendedAt, RevokedAt *time.Time
	SuspendedReason                   *string
	CreatedAt                         time.Time
}

// State is the key's state in a word.
func (k wireKey) State() string {
	switch {
	case k.RevokedAt != nil:
		return "revoked"
	case k.ExpiresAt != nil && time.Now().After(*k.ExpiresAt):
		return "expired"
	case k.SuspendedAt != nil:
		return "suspended"
	}
	return "active"
}

type wireAudit struct {
	ID                   string
	CompanyID            *string
	Actor, Action        string
	TargetType, TargetID string
	Before, After        map[string]any
	At                   time.Time
}
