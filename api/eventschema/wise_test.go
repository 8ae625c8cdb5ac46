package eventschema_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"greenroom/activities/webhook/profiles"
)

func wise(t *testing.T, name string) (schema, sample string) {
	t.Helper()
	s, found := profiles.SampleOf(name)
	require.True(t, found, name)
	text := profiles.SchemaOf(name)
	require.NotEmpty(t, text, name)
	return string(text), string(s.Data)
}

// TestWise holds the payloads of the tutoring contract, event by event: the sample fits, and without the part named,
// or with another in its place, it does not.
func TestWise(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ event, part, instead, path string }{
		{"SessionsCreatedEvent", `"meetingStatus":"UPCOMING",`, ``, "/sessions/0/meetingStatus"},
		{"SessionsCreatedEvent", `"_id":"6639e0aa11bb22cc33dd44ee"`, `"_id":"6639"`, "/sessions/0/_id"},
		{"SessionsCreatedEvent", `"2024-05-08T09:00:00.000Z"`, `"tomorrow"`, "/sessions/0/scheduledStartTime"},
		{"SessionsUpdatedEvent", `"_id":"6639e0aa11bb22cc33dd44ee",`, ``, "/_id"},
		{"SessionsUpdatedEvent", `"title":"Quadratic equations, part 2"`, `"title":5`, "/title"},
		{"SessionsDeletedEvent", `"CANCELLED"`, `"UPCOMING"`, "/meetingStatus"},
		{"SessionsDeletedEvent", ` (Cancelled)`, ``, "/title"},
		{"MeetingStartedEvent", `"meeting.started"`, `"meeting.ended"`, "/event"},
		{"MeetingStartedEvent", `"host_id":"x1yCzABCDEfg23HiJKl4mN"`, `"host":""`, "/payload/object/host_id"},
		{"MeetingStartedEvent", `"sessionId":"6639e0aa11bb22cc33dd44ee",`, ``, "/sessionId"},
		{"MeetingEndedEvent", `,"end_time":"2024-05-08T10:00:31Z"`, ``, "/payload/object/end_time"},
		{"MeetingEndedEvent", `1715162431456`, `"now"`, "/event_ts"},
		{"ParticipantJoinedMeetingEvent", `"join_time":"2024-05-08T09:01:12Z",`, ``, "/payload/object/participant/join_time"},
		{"ParticipantLeftMeetingEvent", `"leave_time":"2024-05-08T10:00:00Z",`, ``, "/payload/object/participant/leave_time"},
		{"SharingStaredInMeetingEvent", `"content":"application"`, `"content":1`, "/payload/object/participant/sharing_details/content"},
		{"SharingEndedInMeetingEvent", `"date_time":"2024-05-08T09:20:00Z",`, ``, "/payload/object/participant/sharing_details/date_time"},
		{"RecordingCompletedEvent", `"partIndex":0}]`, `"partIndex":-1}]`, "/recordings/1/partIndex"},
		{"RecordingCompletedEvent", `"https://recordings.example.com/6639e0aa/0.mp4"`, `"0.mp4"`, "/recordings/0/url"},
		{"AttendanceComputedEvent", `"classId":"6638c1f2a4b5c6d7e8f90123",`, ``, "/session/classId"},
		{"StudentAddedToClassroomEvent", `,"email":"zoe.brandt@example.com"`, ``, "/student/email"},
		{"TeacherAddedToClassroomEvent", `"classNumber":310134094`, `"classNumber":"310134094"`, "/classroom/classNumber"},
		{"StudentRemovedFromClassroomEvent", `,"remove":true`, ``, "/remove"},
		{"TeacherRemovedFromClassroomEvent", `"remove":true`, `"remove":false`, "/remove"},
		{"StudentSuspensionUpdatedEvent", `"FEE_DELAY"`, `"HOLIDAY"`, "/reason"},
		{"StudentSuspensionUpdatedEvent", `"suspended":true`, `"suspended":"yes"`, "/suspended"},
		{"StudentSuspensionUpdatedEvent", `"value":100000`, `"value":1000.5`, "/overDue/value"},
		{"FeePaymentCompletedEvent", `"type":"OFFLINE",`, ``, "/type"},
		{"FeePaymentCompletedEvent", `"currency":"INR"`, `"currency":"rupees"`, "/transaction/amount/currency"},
		{"FeeInvoiceChargedEvent", `"chargedAt":"2024-05-07T07:48:49.911Z",`, ``, "/transaction/chargedAt"},
		{"FeeInvoiceChargedEvent", `"index":0`, `"index":"0"`, "/transaction/metadata/index"},
		{"FeeInvoiceChargedEvent", `"subject":"Mathematics",`, ``, "/classroom/subject"},
		{"CertificateIssuedEvent", `"certificateNumber":"ALG-2024-0017",`, ``, "/certificate/certificateNumber"},
	} {
		t.Run(c.event+c.path, func(t *testing.T) {
			schema, sample := wise(t, c.event)
			s := compile(t, schema)
			require.NoError(t, s.Validate([]byte(sample)))
			require.NoError(t, s.Validate([]byte(sample[:len(sample)-1]+`,"more":1}`)), "a receiver tolerates more")
			require.Contains(t, sample, c.part)
			require.Equal(t, c.path, fault(t, s.Validate([]byte(strings.Replace(sample, c.part, c.instead, 1)))).Path)
		})
	}
}

// TestWiseOptional holds what may be left out.
func TestWiseOptional(t *testing.T) {
	t.Parallel()
	for event, body := range map[string]string{
		"SessionsUpdatedEvent":          `{"_id":"6639e0aa11bb22cc33dd44ee","createdAt":"2024-05-07T07:48:49.911Z","meetingStatus":"CANCELLED"}`,
		"StudentSuspensionUpdatedEvent": `{"reason":"SUSPEND","suspended":false,"classroom":{"_id":"6638c1f2a4b5c6d7e8f90123","name":"A"},"student":{"_id":"6638c1f2a4b5c6d7e8f90456","name":"B"}}`,
	} {
		schema, _ := wise(t, event)
		require.NoError(t, compile(t, schema).Validate([]byte(body)), event)
	}
}

// TestWiseIsComplete: the catalogue of the contract has 19 events; each has a schema and a case above.
func TestWiseIsComplete(t *testing.T) {
	t.Parallel()
	n := 0
	for _, typ := range profiles.Types() {
		if typ.Schema != nil {
			n++
			require.Contains(t, string(typ.Schema), `"title": "`+typ.Name+`"`)
		}
	}
	require.Equal(t, 19, n)
}
