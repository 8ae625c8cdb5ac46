package profiles

import (
	"embed"
	"net/http"
	"time"

	"greenroom/activities/webhook"
	"greenroom/db/catalog"
)

// wise is the contract of receivers written for Wise, a tutoring platform: {"event","payload"} of 19 events; accepted
// by exactly 200; 5 s; nine attempts at 0, 60, 180, 420, 900, 1860, 3780, 7620 and 15300 s after the event.
//
// A receiver checks the header Authorization, which holds the bare key. The public documents name no header; this is
// their most likely reading. The key is that of the webhook's current secret only, because receivers compare a single
// value: see webhook.KeyOf. Users may not configure the header; a test call reveals the key, as the original's
// does.
//
// Each name is also an event type that may be published: the profile adds the 19 types to the catalogue, each with a
// schema. Events that the domain has too are also made from its own sessions (wisesessions.go).
var wise = webhook.Profile{
	Name: "wise",
	// In the order of the original's documentation; SharingStared is its spelling on the wire.
	Events: []webhook.Event{
		event("ParticipantJoinedMeetingEvent", catalog.ParticipantJoined, "ParticipantJoinedMeetingEvent"),
		event("SharingStaredInMeetingEvent", "SharingStaredInMeetingEvent"),
		event("ParticipantLeftMeetingEvent", catalog.ParticipantLeft, "ParticipantLeftMeetingEvent"),
		event("SharingEndedInMeetingEvent", "SharingEndedInMeetingEvent"),
		event("MeetingStartedEvent", catalog.InterviewStarted, "MeetingStartedEvent"),
		event("MeetingEndedEvent", catalog.InterviewFinished, "MeetingEndedEvent"),
		event("RecordingCompletedEvent", catalog.RecordingCompleted, "RecordingCompletedEvent"),
		event("CertificateIssuedEvent", "CertificateIssuedEvent"),
		event("AttendanceComputedEvent", "AttendanceComputedEvent"),
		event("StudentAddedToClassroomEvent", "StudentAddedToClassroomEvent"),
		event("TeacherAddedToClassroomEvent", "TeacherAddedToClassroomEvent"),
		event("StudentRemovedFromClassroomEvent", "StudentRemovedFromClassroomEvent"),
		event("TeacherRemovedFromClassroomEvent", "TeacherRemovedFromClassroomEvent"),
		event("StudentSuspensionUpdatedEvent", "StudentSuspensionUpdatedEvent"),
		event("FeePaymentCompletedEvent", "FeePaymentCompletedEvent"),
		event("FeeInvoiceChargedEvent", "FeeInvoiceChargedEvent"),
		event("SessionsCreatedEvent", catalog.InterviewScheduled, "SessionsCreatedEvent"),
		event("SessionsUpdatedEvent", catalog.InterviewRescheduled, catalog.InterviewCanceled, "SessionsUpdatedEvent"),
		event("SessionsDeletedEvent", catalog.InterviewDeleted, "SessionsDeletedEvent"),
	},
	Types: []webhook.Type{
		wiseType("ParticipantJoinedMeetingEvent", "a participant joined a meeting"),
		wiseType("SharingStaredInMeetingEvent", "a participant started sharing in a meeting"),
		wiseType("ParticipantLeftMeetingEvent", "a participant left a meeting"),
		wiseType("SharingEndedInMeetingEvent", "a participant stopped sharing in a meeting"),
		wiseType("MeetingStartedEvent", "a meeting started"),
		wiseType("MeetingEndedEvent", "a meeting ended"),
		wiseType("RecordingCompletedEvent", "the recordings of a session are available"),
		wiseType("CertificateIssuedEvent", "a student was issued a certificate"),
		wiseType("AttendanceComputedEvent", "the attendance of a session was computed"),
		wiseType("StudentAddedToClassroomEvent", "a student was added to a classroom"),
		wiseType("TeacherAddedToClassroomEvent", "a teacher was added to a classroom"),
		wiseType("StudentRemovedFromClassroomEvent", "a student was removed from a classroom"),
		wiseType("TeacherRemovedFromClassroomEvent", "a teacher was removed from a classroom"),
		wiseType("StudentSuspensionUpdatedEvent", "a student was suspended, or a suspension ended"),
		wiseType("FeePaymentCompletedEvent", "a fee was paid"),
		wiseInvoice(),
		wiseType("SessionsCreatedEvent", "sessions were created"),
		wiseType("SessionsUpdatedEvent", "a session was changed or canceled"),
		wiseType("SessionsDeletedEvent", "a session was deleted"),
	},
	// The gaps of 60·(2ⁿ − 1) s for n = 0…8.
	Schedule: []time.Duration{
		60 * time.Second, 120 * time.Second, 240 * time.Second, 480 * time.Second,
		960 * time.Second, 1920 * time.Second, 3840 * time.Second, 7680 * time.Second,
	},
	FromEvent:   true,
	Timeout:     5 * time.Second,
	Success:     func(status int) bool { return status == http.StatusOK },
	SuccessRule: "200 only",
	UserAgent:   webhook.UserAgent,
	Reserved:    []string{"Authorization"},
	Signature:   "Authorization: <key>, bare; a test call reveals the key",
	KeyHeader:   "Authorization",
	Render:      renderWise,
}

//go:embed schemas
var schemas embed.FS

// wiseType reads the type's schema. It panics at the program's start if the file is missing.
func wiseType(name, when string) webhook.Type {
	schema, err := schemas.ReadFile("schemas/wise/" + name + ".json")
	if err != nil {
		panic(err)
	}
	return webhook.Type{Name: name, When: when, Schema: schema}
}

// wiseInvoice returns the type of invoices. When an instalment is added to a fee, the original sends one event for each
// instalment of the fee, even if it was sent before. A publisher sends all of them at once.
func wiseInvoice() webhook.Type {
	t := wiseType("FeeInvoiceChargedEvent", "an invoice for an instalment of a fee was charged")
	t.List, t.One = "transactions", "transaction"
	return t
}

func renderWise(m webhook.Message) ([]byte, error) {
	payload, err := wisePayload(m)
	if err != nil {
		return nil, err
	}
	b := append(newBody(payload), `{"event":`...)
	b = appendString(b, m.EventName)
	b = append(b, `,"payload":`...)
	b = append(b, payload...)
	return append(b, '}'), nil
}
