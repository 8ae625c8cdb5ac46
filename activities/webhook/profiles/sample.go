package profiles

import (
	"embed"
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"github.com/google/uuid"

	"greenroom/activities/webhook"
	"greenroom/db/catalog"
)

//go:embed samples
var sampleData embed.FS

// Sample is an example of an event. The golden files hold what each profile makes of each sample.
type Sample struct {
	// Data is the event's data, as POST /events accepts it.
	Data json.RawMessage
	// Context is that of the platform's own event; nil for a type that is only published.
	Context *catalog.Context
}

// SampleOf returns the sample of a type of the catalogue, with a context of its own, or false for any other type.
func SampleOf(eventType string) (Sample, bool) {
	data, err := sampleData.ReadFile("samples/" + eventType + ".json")
	if err != nil || !Known(eventType) {
		return Sample{}, false
	}
	return Sample{Data: data, Context: sampleContext(eventType)}, true
}

// SampleAt is the time of the attempt whose headers [Sample.Header] returns: two days after the event, because the
// body's time is the event's and the headers' that of the attempt.
var SampleAt = time.Date(2024, 1, 22, 9, 5, 0, 0, time.UTC)

// Message returns a delivery of the sample by a profile. Ids, times and addresses are always the same.
func (s Sample) Message(p *webhook.Profile, eventType string) webhook.Message {
	return webhook.Message{
		DeliveryID: "550e8400-e29b-41d4-a716-446655440000",
		EventID:    "0198c2a4-5b1e-7c3a-9d4f-6e2b8a1c0d22",
		EventType:  eventType,
		EventName:  p.NameOf(eventType),
		CompanyID:  "0198c2a0-0000-7000-8000-000000000001",
		OccurredAt: time.Date(2024, 1, 20, 15, 30, 0, 123_456_999, time.FixedZone("CET", 3600)),
		Data:       s.Data,
		Endpoint:   "https://receiver.example.com/hooks?from=<greenroom>&a=b",
		BaseURL:    "https://greenroom.example.com",
		Context:    s.Context,
	}
}

// Header returns the headers of a delivery of a sample with that body, without those that depend on the webhook's
// secret. signed are the names of these, in alphabetical order.
func (Sample) Header(p *webhook.Profile, m webhook.Message, body []byte) (h http.Header, signed []string, err error) {
	r := webhook.Request{Profile: p, Message: m, Body: body}
	if h, err = r.Header(SampleAt); err != nil {
		return nil, nil, err
	}
	r.Secrets, r.Key = webhook.Secrets{make([]byte, 32)}, "key"
	all, err := r.Header(SampleAt)
	for name := range all {
		if h[name] == nil {
			signed = append(signed, name)
		}
	}
	slices.Sort(signed)
	return h, signed, err
}

// sampleContext returns the context of an event of that type; nil for a published type.
func sampleContext(eventType string) *catalog.Context {
	parts, found := sampleParts[eventType]
	if !found {
		return nil
	}
	c := &catalog.Context{
		Company: &catalog.Company{Object: sampleObject("0198c2a0-0000-7000-8000-000000000001", 1), Name: "Acme"},
	}
	for _, add := range parts {
		add(c)
	}
	return c
}

func sampleObject(id string, number int64) catalog.Object {
	return catalog.Object{ID: uuid.MustParse(id), Number: number}
}

func sampleAt(minute int) time.Time {
	return time.Date(2024, 1, 20, 14, minute, 0, 250_000_000, time.UTC)
}

type samplePart func(*catalog.Context)

// sampleParts are the parts of each type's context, in addition to the company.
var sampleParts = map[string][]samplePart{
	catalog.InterviewScheduled:   {sampleJob, sampleCandidate, sampleInterview("SCHEDULED", 0, 0)},
	catalog.InterviewRescheduled: {sampleJob, sampleCandidate, sampleInterview("SCHEDULED", 0, 0)},
	catalog.InterviewStarted:     {sampleJob, sampleCandidate, sampleInterview("IN_PROGRESS", 31, 0)},
	catalog.InterviewFinished:    {sampleJob, sampleCandidate, sampleInterview("COMPLETED", 31, 58)},
	catalog.InterviewCompleted: {
		sampleJob, sampleCandidate, sampleInterview("COMPLETED", 31, 58), sampleRecordings, sampleAnalysis,
	},
	catalog.InterviewFailed:   {sampleJob, sampleCandidate, sampleInterview("FAILED", 31, 33)},
	catalog.InterviewCanceled: {sampleJob, sampleCandidate, sampleInterview("CANCELED", 0, 0)},
	catalog.InterviewDeleted:  {sampleJob, sampleCandidate, sampleInterview("CANCELED", 0, 0)},
	catalog.AnalysisCompleted: {
		sampleJob, sampleCandidate, sampleInterview("COMPLETED", 31, 58), sampleRecordings, sampleAnalysis,
	},
	catalog.AnalysisFailed:     {sampleJob, sampleCandidate, sampleInterview("COMPLETED", 31, 58)},
	catalog.CandidateCreated:   {sampleJob, sampleCandidate, sampleCreated},
	catalog.CandidateInvited:   {sampleJob, sampleCandidate, sampleInterview("SCHEDULED", 0, 0), sampleCreated},
	catalog.CandidateUpdated:   {sampleJob, sampleCandidate},
	catalog.JobCreated:         {sampleJob},
	catalog.JobUpdated:         {sampleJob},
	catalog.ParticipantJoined:  {sampleJob, sampleCandidate, sampleInterview("IN_PROGRESS", 31, 0)},
	catalog.ParticipantLeft:    {sampleJob, sampleCandidate, sampleInterview("COMPLETED", 31, 58)},
	catalog.RecordingCompleted: {sampleJob, sampleCandidate, sampleInterview("COMPLETED", 31, 58), sampleRecordings},
	catalog.AnswerVideoCreated: {sampleJob, sampleCandidate, sampleQuestion, sampleAnswerVideo},
	catalog.AnswerVideoUpdated: {sampleJob, sampleCandidate, sampleQuestion, sampleAnswerVideo},
	catalog.RatingCreated:      {sampleJob, sampleCandidate, sampleRating, sampleStaff},
	catalog.RatingUpdated:      {sampleJob, sampleCandidate, sampleRating, sampleStaff},
	catalog.NoteCreated:        {sampleJob, sampleCandidate, sampleNote, sampleAnswerVideo, sampleStaff},
	catalog.NoteUpdated:        {sampleJob, sampleCandidate, sampleNote, sampleAnswerVideo, sampleStaff},
}

func sampleJob(c *catalog.Context) {
	c.Job = &catalog.Job{
		Object:      sampleObject("0198c2a3-9f00-7b21-b3c4-d5e6f7081920", 17),
		Title:       "Receptionist <night>",
		Description: new("At the front desk"),
		Status:      "OPEN",
		CreatedAt:   sampleAt(1),
		UpdatedAt:   sampleAt(2),
	}
}

func sampleCandidate(c *catalog.Context) {
	c.Candidate = &catalog.Candidate{
		Object:      sampleObject("0198c2a4-4a0d-7f55-a1b2-c3d4e5f60718", 521),
		FirstName:   "Zoë",
		LastName:    "O'Neil & Sons",
		Email:       new("zoe@example.com"),
		PhoneNumber: new("+421900123456"),
		Status:      "APPLIED",
		CreatedAt:   sampleAt(5),
		UpdatedAt:   sampleAt(6),
	}
}

func sampleInterview(status string, started, finished int) samplePart {
	return func(c *catalog.Context) {
		c.Interview = &catalog.Interview{
			Object:      sampleObject("0198c2a4-5b1e-7c3a-9d4f-6e2b8a1c0d11", 6726),
			Type:        "ONLINE",
			Status:      status,
			AgentID:     uuid.MustParse("0198c2a2-1111-7c3a-9d4f-6e2b8a1c0d33"),
			AgentName:   "Front desk",
			Language:    "en",
			PlannedMin:  30,
			ScheduledAt: sampleAt(30),
			DeadlineAt:  new(sampleAt(59)),
			CustomField: new("ATS-4711"),
			CreatedAt:   sampleAt(7),
		}
		if started > 0 {
			c.Interview.StartedAt = new(sampleAt(started))
		}
		if finished > 0 {
			c.Interview.FinishedAt = new(sampleAt(finished))
		}
	}
}

func sampleRecordings(c *catalog.Context) {
	video := sampleObject("0198c2a6-0a0b-7c0d-8e0f-101112131415", 90)
	c.Recordings = []catalog.Recording{
		{URL: "https://calls.example.com/recordings/81?part=1&of=2", At: sampleAt(58), DurationSeconds: new(1620)},
		{Video: &video, At: sampleAt(58)}, // in the same millisecond
	}
}

func sampleAnalysis(c *catalog.Context) {
	c.Analysis = &catalog.Analysis{
		ID: uuid.MustParse("0198c2a5-0a0b-7c0d-8e0f-101112131415"),
		General: json.RawMessage(
			`{"overallRating": 85, "summary": "Friendly & clear", "strongPoints": ["calm"], "recommendation": null}`,
		),
		Specific: json.RawMessage(
			`{"integrity_score": 9.5, "skillWiseScores": {"must_haves": [{"skill_name": "English", "score": 8}]}}`,
		),
	}
}

func sampleCreated(c *catalog.Context) { c.Created = true }

func sampleQuestion(c *catalog.Context) {
	c.Question = new(sampleObject("0198c2a3-9f10-7b21-b3c4-d5e6f7081921", 44))
}

func sampleAnswerVideo(c *catalog.Context) {
	c.AnswerVideo = new(sampleObject("0198c2a6-0a0b-7c0d-8e0f-101112131415", 90))
}

func sampleRating(c *catalog.Context) {
	c.Rating = new(sampleObject("0198c2a7-0a0b-7c0d-8e0f-101112131415", 91))
}

func sampleNote(c *catalog.Context) {
	c.Note = new(sampleObject("0198c2a8-0a0b-7c0d-8e0f-101112131415", 92))
}

func sampleStaff(c *catalog.Context) {
	c.Staff = new(sampleObject("0198c2a1-0a0b-7c0d-8e0f-101112131415", 3))
}
