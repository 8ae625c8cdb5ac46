package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// at returns the value at a path of a payload, such as sessions.0._id, or nil.
func at(v any, path string) any {
	for step := range strings.SplitSeq(path, ".") {
		switch parent := v.(type) {
		case map[string]any:
			v = parent[step]
		case []any:
			i, err := strconv.Atoi(step)
			if err != nil || i >= len(parent) {
				return nil
			}
			v = parent[i]
		default:
			return nil
		}
	}
	return v
}

// requireFields requires fields of the form field or field=value.
func requireFields(t *testing.T, payload any, fields string) {
	t.Helper()
	for field := range strings.FieldsSeq(fields) {
		path, want, fixed := strings.Cut(field, "=")
		got := at(payload, path)
		require.NotNil(t, got, "%s in %v", path, payload)
		if fixed {
			require.Equal(t, want, fmt.Sprint(got), path)
		}
	}
}

// zoom and person are the fields of events about a meeting and its participants (2.3), without their prefix.
const (
	zoom = "sessionId event_ts payload.object.duration payload.object.start_time payload.object.timezone " +
		"payload.object.topic payload.object.id payload.object.type payload.object.uuid payload.object.host_id"
	person = "payload.object.participant.user_id payload.object.participant.user_name payload.object.participant.id " +
		"payload.object.participant.email payload.object.participant.participant_uuid"
	share = " payload.object.participant.sharing_details.link_source " +
		"payload.object.participant.sharing_details.date_time payload.object.participant.sharing_details.file_link " +
		"payload.object.participant.sharing_details.source payload.object.participant.sharing_details.content"
	joined = " payload.object.participant.participant_user_id payload.object.participant.join_time"
)

// wiseEvents are the 19 events in the order of Part 1, with the fields of their payloads (2.3).
var wiseEvents = []struct{ title, event, fields string }{
	{"Participant Joined Meeting", "ParticipantJoinedMeetingEvent", "sessionId event_ts " + person + joined},
	{"Sharing Stared In Meeting", "SharingStaredInMeetingEvent", "sessionId event_ts" + share},
	{"Participant Left Meeting", "ParticipantLeftMeetingEvent", "sessionId event_ts " + person + joined +
		" payload.object.participant.leave_time payload.object.participant.leave_reason " +
		"payload.object.participant.registrant_id"},
	{"Sharing Ended In Meeting", "SharingEndedInMeetingEvent", "sessionId event_ts" + share},
	{"Meeting Started", "MeetingStartedEvent", zoom + " event=meeting.started"},
	{"Meeting Ended", "MeetingEndedEvent", zoom + " payload.object.end_time event=meeting.ended"},
	{
		"Recording Completed",
		"RecordingCompletedEvent",
		"userId sessionId recordings.0.type recordings.0.url recordings.0.duration recordings.0.partIndex",
	},
	{
		"Certificate Issued",
		"CertificateIssuedEvent",
		"classroom student certificate._id certificate.certificateNumber certificate.url certificate.issuedOn",
	},
	{"Attendance Computed", "AttendanceComputedEvent", "session._id session.classId session.userId"},
	{
		"Student Added To Classroom",
		"StudentAddedToClassroomEvent",
		"classroom._id classroom.name student._id student.name student.email",
	},
	{
		"Teacher Added To Classroom", "TeacherAddedToClassroomEvent",
		"classroom._id classroom.name classroom.subject classroom.classNumber teacher._id teacher.name teacher.email",
	},
	{
		"Student Removed From Classroom", "StudentRemovedFromClassroomEvent",
		"classroom._id classroom.name student._id student.name student.email remove=true",
	},
	{
		"Teacher Removed From Classroom",
		"TeacherRemovedFromClassroomEvent",
		"classroom._id classroom.name classroom.subject classroom.classNumber teacher._id teacher.name teacher.email " +
			"remove=true",
	},
	{
		"Student Suspension Updated", "StudentSuspensionUpdatedEvent",
		"reason=FEE_DELAY suspended=true overDue.value overDue.currency classroom student",
	},
	{
		"Fee Payment Completed", "FeePaymentCompletedEvent",
		"type=OFFLINE classroom student transaction._id transaction.amount.value transaction.amount.currency",
	},
	{
		"Fee Invoice Charged",
		"FeeInvoiceChargedEvent",
		"classroom._id classroom.name classroom.subject classroom.classNumber " +
			"student._id student.name student.phoneNumber student.email transaction.status=CHARGED transaction.type=INVOICE " +
			"transaction.senderId transaction.receiverId transaction.chargedAt transaction.amount.value " +
			"transaction.amount.currency " +
			"transaction.note transaction.metadata.classId transaction.metadata.dueOn transaction.metadata.dueAfterDays " +
			"transaction.metadata.paid transaction.metadata.index transaction.metadata.paymentOptionId " +
			"transaction.metadata.installmentId " +
			"transaction.metadata.feeType=INSTALLMENT transaction.metadata.feeAssignedManually",
	},
	{
		"Sessions Created",
		"SessionsCreatedEvent",
		"sessions.0._id sessions.0.classId sessions.0.userId sessions.0.createdAt " +
			"sessions.0.meetingStatus=UPCOMING sessions.0.type=SCHEDULED sessions.0.title sessions.0.scheduledStartTime " +
			"sessions.0.scheduledEndTime",
	},
	{"Sessions Updated", "SessionsUpdatedEvent", "_id createdAt"},
	{
		"Sessions Deleted", "SessionsDeletedEvent",
		"_id classId userId createdAt meetingStatus=CANCELLED type title scheduledStartTime scheduledEndTime",
	},
}

// TestWiseReferencePayloads checks 2.2 and the table of 2.3: each event, published by its upstream, arrives in
// its envelope.
func TestWiseReferencePayloads(t *testing.T) {
	s := setup(t)
	rows := map[string]func(t *testing.T, s tutoring){
		"2.3_sessions_updated_is_sparse": func(_ *testing.T, s tutoring) {
			r, _ := s.hook(nil, "SessionsUpdatedEvent")
			for _, payload := range []string{
				`{"_id":"663a1c2b9d4f6e2b8a1c0d11","classId":"663a1c2b9d4f6e2b8a1c0d12","createdAt":"2024-05-07T07:48:49.911Z",` +
					`"meetingStatus":"CANCELLED"}`,
				`{"_id":"663a1c2b9d4f6e2b8a1c0d11","classId":"663a1c2b9d4f6e2b8a1c0d12","createdAt":"2024-05-07T07:48:49.911Z",` +
					`"title":"Other"}`,
			} {
				s.publishUpstream("SessionsUpdatedEvent", json.RawMessage(payload))
			}
			s.eventually(func() bool { return r.count() == 2 }, "both arrive")
		},
		"2.3_suspension_by_fee_delay_or_suspend": func(t *testing.T, s tutoring) {
			body := func(reason string) map[string]any {
				return map[string]any{"type": "StudentSuspensionUpdatedEvent", "data": map[string]any{
					"reason": reason, "suspended": false,
					"classroom": map[string]any{"_id": "663a1c2b9d4f6e2b8a1c0d11", "name": "Algebra"},
					"student":   map[string]any{"_id": "663a1c2b9d4f6e2b8a1c0d12", "name": "Zoë"},
				}}
			}
			s.must(http.MethodPost, "/events", body("SUSPEND"))
			require.Equal(t, http.StatusUnprocessableEntity, s.do(http.MethodPost, "/events", body("HOLIDAY")).Status)
		},
		"2.3_a_fourth_instalment_sends_four_events": func(t *testing.T, s tutoring) {
			r, _ := s.hook(nil, "FeeInvoiceChargedEvent")
			s.publishUpstream("FeeInvoiceChargedEvent", invoice(t, 3))
			s.eventually(func() bool { return r.count() == 3 }, "one for each instalment")
			s.publishUpstream("FeeInvoiceChargedEvent", invoice(t, 4))
			s.eventually(func() bool { return r.count() == 7 }, "one for each instalment again")
		},
		"2.3_ids_are_24_hex_digits_and_amounts_integers": func(t *testing.T, s tutoring) {
			good := string(s.sample("FeePaymentCompletedEvent"))
			for part, bad := range map[string]string{
				`"_id":"663a01bb22cc33dd44ee55ff"`: `"_id":"663a01bb-22cc"`, `"value":100000`: `"value":1000.5`,
			} {
				require.Contains(t, good, part)
				a := s.do(http.MethodPost, "/events", map[string]any{
					"type": "FeePaymentCompletedEvent", "data": json.RawMessage(strings.Replace(good, part, bad, 1)),
				})
				require.Equal(t, http.StatusUnprocessableEntity, a.Status, bad)
			}
		},
	}
	for _, e := range wiseEvents {
		rows["2.3_"+e.event] = func(t *testing.T, s tutoring) {
			r, _ := s.hook(nil, e.event)
			payload := s.sample(e.event)
			s.publishUpstream(e.event, payload)
			body := s.one(r)
			require.JSONEq(
				t,
				`{"event":"`+e.event+`","payload":`+string(payload)+`}`,
				string(r.all()[0].Raw),
				"2.2: nothing else at the top",
			)
			requireFields(t, body["payload"], e.fields)
			require.Empty(t, r.all()[0].Header.Get("X-Webhook-Signature"), "2.4: the contract has no signature of its own")
		}
	}
	testWise(t, s, rows)
}

// TestWiseReferenceSessions checks the events that interviews cause too, in the formats
// of 2.3.
func TestWiseReferenceSessions(t *testing.T) {
	s := setup(t, simulate(t, false))
	var all []any
	for _, e := range wiseEvents {
		all = append(all, e.event)
	}
	collect := func(s tutoring, act func(), events ...string) map[string]map[string]any {
		s.t.Helper()
		r, _ := s.hook(nil, all...)
		act()
		s.eventually(func() bool { return r.count() >= len(events) }, "%v arrive", events)
		got := r.bodies(s.t, byEvent)
		for _, e := range events {
			require.Contains(s.t, got, e)
		}
		require.Len(s.t, got, len(events))
		return got
	}
	far := func(days int) string { return time.Now().AddDate(0, 0, days).UTC().Format(time.RFC3339) }
	planned := func(s tutoring) (id, call string) {
		s.t.Helper()
		job := s.must(
			http.MethodPost,
			"/jobs",
			map[string]any{"title": "Platform engineer", "description": "Keeps it running"},
		)
		agent := s.must(http.MethodPost, "/agents", map[string]any{
			"name":      "Ada",
			"type":      "PHONE",
			"focus":     "SCREENING",
			"language":  "EN",
			"duration":  15,
			"questions": []string{"Why?"},
		})
		candidate := s.must(http.MethodPost, "/candidates", map[string]any{
			"firstName":      "Grace",
			"lastName":       "Hopper",
			"email":          "grace@example.com",
			"phoneNumber":    "+421900000100",
			"jobId":          job["id"],
			"gdprExpiryDate": "2030-01-01",
		})
		i := s.must(http.MethodPost, "/interviews", map[string]any{
			"candidateId": candidate["id"], "jobId": job["id"], "agentId": agent["id"], "scheduledAt": far(3),
		})
		return i["id"].(string), at(i, "callAttempts.0.id").(string)
	}
	hex := regexp.MustCompile("^[0-9a-f]{24}$")
	testWise(t, s, map[string]func(t *testing.T, s tutoring){
		"SessionsCreatedEvent_when_an_interview_is_scheduled": func(t *testing.T, s tutoring) {
			got := collect(s, func() { planned(s) }, "SessionsCreatedEvent")["SessionsCreatedEvent"]["payload"]
			requireFields(t, got, wiseEvents[16].fields)
			for _, id := range []string{"_id", "classId", "userId"} {
				require.Regexp(t, hex, at(got, "sessions.0."+id))
			}
			require.Equal(t, "Platform engineer", at(got, "sessions.0.title"))
		},
		"SessionsUpdatedEvent_with_what_changed_when_it_is_rescheduled": func(t *testing.T, s tutoring) {
			id, call := planned(s)
			got := collect(s, func() {
				s.must(http.MethodPatch, "/interviews/"+id+"/call-attempts/"+call, map[string]any{"scheduledAt": far(5)})
			}, "SessionsUpdatedEvent")["SessionsUpdatedEvent"]["payload"].(map[string]any)
			requireFields(t, got, "_id classId createdAt scheduledStartTime scheduledEndTime")
			require.Len(t, got, 5)
		},
		"SessionsUpdatedEvent_CANCELLED_when_it_is_canceled": func(t *testing.T, s tutoring) {
			id, _ := planned(s)
			got := collect(s, func() { s.must(http.MethodPost, "/interviews/"+id+"/cancel", nil) },
				"SessionsUpdatedEvent")["SessionsUpdatedEvent"]["payload"].(map[string]any)
			requireFields(t, got, "_id classId createdAt meetingStatus=CANCELLED")
			require.Len(t, got, 4)
		},
		"SessionsDeletedEvent_when_it_is_deleted": func(t *testing.T, s tutoring) {
			id, _ := planned(s)
			got := collect(s, func() { s.must(http.MethodDelete, "/interviews/"+id, nil) },
				"SessionsUpdatedEvent", "SessionsDeletedEvent") // it is canceled first
			payload := got["SessionsDeletedEvent"]["payload"]
			requireFields(t, payload, wiseEvents[18].fields)
			require.Equal(t, "Platform engineer (Cancelled)", at(payload, "title"))
		},
		"meetings_participants_and_recordings_of_one_held": func(t *testing.T, s tutoring) {
			got := collect(s, func() { s.interview("PHONE", "+421900000100") }, "SessionsCreatedEvent", "MeetingStartedEvent",
				"ParticipantJoinedMeetingEvent", "ParticipantLeftMeetingEvent", "MeetingEndedEvent", "RecordingCompletedEvent")
			requireFields(t, got["MeetingStartedEvent"]["payload"], zoom+" event=meeting.started")
			requireFields(t, got["MeetingEndedEvent"]["payload"], zoom+" payload.object.end_time event=meeting.ended")
			requireFields(
				t,
				got["ParticipantJoinedMeetingEvent"]["payload"],
				"sessionId event_ts "+person+" payload.object.participant.join_time",
			)
			requireFields(t, got["ParticipantLeftMeetingEvent"]["payload"],
				"sessionId event_ts "+person+" payload.object.participant.join_time payload.object.participant.leave_time")
			requireFields(t, got["RecordingCompletedEvent"]["payload"], wiseEvents[6].fields+" recordings.0.type=AUDIO")
			session := at(got["SessionsCreatedEvent"], "payload.sessions.0._id")
			require.Regexp(t, hex, session)
			ended := []string{
				"MeetingStartedEvent", "MeetingEndedEvent", "ParticipantLeftMeetingEvent", "RecordingCompletedEvent",
			}
			for _, e := range ended {
				require.Equal(t, session, at(got[e], "payload.sessionId"), e)
			}
		},
	})
}
