package profiles_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"greenroom/activities/webhook"
	"greenroom/activities/webhook/profiles"
	"greenroom/db/catalog"
)

var (
	occurredAt = time.Date(2024, 1, 20, 15, 30, 0, 123_456_999, time.FixedZone("CET", 3600))
	// attemptedAt is two days after the event: the body's time is the event's, the headers' that of the attempt.
	attemptedAt = time.Date(2024, 1, 22, 9, 5, 0, 0, time.UTC)
)

func profile(t testing.TB, name string) *webhook.Profile {
	t.Helper()
	p, err := profiles.ByName(name)
	require.NoError(t, err)
	return p
}

// message returns a delivery of an event of that domain type, with the data in testdata/events.
func message(t testing.TB, p *webhook.Profile, eventType string) webhook.Message {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "events", eventType+".json"))
	require.NoError(t, err)
	return webhook.Message{
		DeliveryID: "550e8400-e29b-41d4-a716-446655440000",
		EventID:    "0198c2a4-5b1e-7c3a-9d4f-6e2b8a1c0d22",
		EventType:  eventType,
		EventName:  p.NameOf(eventType),
		CompanyID:  "0198c2a0-0000-7000-8000-000000000001",
		OccurredAt: occurredAt,
		Data:       data,
		Endpoint:   "https://receiver.example.com/hooks?from=<greenroom>&a=b",
		BaseURL:    "https://greenroom.example.com",
	}
}

// testSecret is a fixed secret; n tells several apart.
func testSecret(n byte) []byte {
	secret := make([]byte, 32)
	for i := range secret {
		secret[i] = n + byte(i)
	}
	return secret
}

func object(id string, number int64) catalog.Object {
	return catalog.Object{ID: uuid.MustParse(id), Number: number}
}

func at(minute int) time.Time { return time.Date(2024, 1, 20, 14, minute, 0, 250_000_000, time.UTC) }

// about returns the context of an event of that type; nil for a published type.
func about(eventType string) *catalog.Context {
	c := &catalog.Context{
		Company: &catalog.Company{Object: object("0198c2a0-0000-7000-8000-000000000001", 1), Name: "Acme"},
	}
	parts, ok := aboutParts[eventType]
	if !ok {
		return nil
	}
	for _, add := range parts {
		add(c)
	}
	return c
}

type part func(*catalog.Context)

// aboutParts are the parts of each type's context, in addition to the company.
var aboutParts = map[string][]part{
	catalog.InterviewScheduled:   {job, candidate, interview("SCHEDULED", 0, 0)},
	catalog.InterviewRescheduled: {job, candidate, interview("SCHEDULED", 0, 0)},
	catalog.InterviewStarted:     {job, candidate, interview("IN_PROGRESS", 31, 0)},
	catalog.InterviewFinished:    {job, candidate, interview("COMPLETED", 31, 58)},
	catalog.InterviewCompleted:   {job, candidate, interview("COMPLETED", 31, 58), recordings, analysis},
	catalog.InterviewFailed:      {job, candidate, interview("FAILED", 31, 33)},
	catalog.InterviewCanceled:    {job, candidate, interview("CANCELED", 0, 0)},
	catalog.InterviewDeleted:     {job, candidate, interview("CANCELED", 0, 0)},
	catalog.AnalysisCompleted:    {job, candidate, interview("COMPLETED", 31, 58), recordings, analysis},
	catalog.AnalysisFailed:       {job, candidate, interview("COMPLETED", 31, 58)},
	catalog.CandidateCreated:     {job, candidate, created},
	catalog.CandidateInvited:     {job, candidate, interview("SCHEDULED", 0, 0), created},
	catalog.CandidateUpdated:     {job, candidate},
	catalog.JobCreated:           {job},
	catalog.JobUpdated:           {job},
	catalog.ParticipantJoined:    {job, candidate, interview("IN_PROGRESS", 31, 0)},
	catalog.ParticipantLeft:      {job, candidate, interview("COMPLETED", 31, 58)},
	catalog.RecordingCompleted:   {job, candidate, interview("COMPLETED", 31, 58), recordings},
	catalog.AnswerVideoCreated:   {job, candidate, question, answerVideo},
	catalog.AnswerVideoUpdated:   {job, candidate, question, answerVideo},
	catalog.RatingCreated:        {job, candidate, rating, staff},
	catalog.RatingUpdated:        {job, candidate, rating, staff},
	catalog.NoteCreated:          {job, candidate, note, answerVideo, staff},
	catalog.NoteUpdated:          {job, candidate, note, answerVideo, staff},
}

func job(c *catalog.Context) {
	c.Job = &catalog.Job{
		Object: object(
			"0198c2a3-9f00-7b21-b3c4-d5e6f7081920",
			17,
		),
		Title:       "Receptionist <night>",
		Description: new("At the front desk"),
		Status:      "OPEN",
		CreatedAt:   at(1),
		UpdatedAt:   at(2),
	}
}

func candidate(c *catalog.Context) {
	c.Candidate = &catalog.Candidate{
		Object:    object("0198c2a4-4a0d-7f55-a1b2-c3d4e5f60718", 521),
		FirstName: "Zoë",
		LastName:  "O'Neil & Sons",
		Email: new(
			"zoe@example.com",
		),
		PhoneNumber: new("+421900123456"),
		Status:      "APPLIED",
		CreatedAt:   at(5),
		UpdatedAt:   at(6),
	}
}

func interview(status string, started, finished int) part {
	return func(c *catalog.Context) {
		c.Interview = &catalog.Interview{
			Object: object("0198c2a4-5b1e-7c3a-9d4f-6e2b8a1c0d11", 6726),
			Type:   "ONLINE",
			Status: status,
			AgentID: uuid.MustParse(
				"0198c2a2-1111-7c3a-9d4f-6e2b8a1c0d33",
			),
			AgentName:   "Front desk",
			Language:    "en",
			PlannedMin:  30,
			ScheduledAt: at(30),
			DeadlineAt:  new(at(59)),
			CustomField: new("ATS-4711"),
			CreatedAt:   at(7),
		}
		if started > 0 {
			c.Interview.StartedAt = new(at(started))
		}
		if finished > 0 {
			c.Interview.FinishedAt = new(at(finished))
		}
	}
}

func recordings(c *catalog.Context) {
	video := object("0198c2a6-0a0b-7c0d-8e0f-101112131415", 90)
	c.Recordings = []catalog.Recording{
		{URL: "https://calls.example.com/recordings/81?part=1&of=2", At: at(58), DurationSeconds: new(1620)},
		{Video: &video, At: at(58)}, // in the same millisecond
	}
}

func analysis(c *catalog.Context) {
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

func created(c *catalog.Context) { c.Created = true }

func question(c *catalog.Context) {
	c.Question = new(object("0198c2a3-9f10-7b21-b3c4-d5e6f7081921", 44))
}

func answerVideo(c *catalog.Context) {
	c.AnswerVideo = new(object("0198c2a6-0a0b-7c0d-8e0f-101112131415", 90))
}

func rating(c *catalog.Context) { c.Rating = new(object("0198c2a7-0a0b-7c0d-8e0f-101112131415", 91)) }

func note(c *catalog.Context) { c.Note = new(object("0198c2a8-0a0b-7c0d-8e0f-101112131415", 92)) }

func staff(c *catalog.Context) { c.Staff = new(object("0198c2a1-0a0b-7c0d-8e0f-101112131415", 3)) }
