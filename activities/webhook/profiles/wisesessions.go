package profiles

import (
	"encoding/hex"
	"encoding/json"
	"strconv"
	"time"

	"github.com/google/uuid"

	"greenroom/activities/webhook"
	"greenroom/db/catalog"
)

// A session is an interview, its class the job, its user (the teacher) the interviewing agent, the participant the
// candidate. Fields that the domain does not have are omitted: device and account ids of a meeting provider, the reason
// for leaving.

// wisePayloads makes the payload of each domain event. Published types bring their own payload.
var wisePayloads = map[string]func(webhook.Message) any{
	catalog.InterviewScheduled:   wiseCreated,
	catalog.InterviewRescheduled: wiseRescheduled,
	catalog.InterviewCanceled:    wiseCanceled,
	catalog.InterviewDeleted:     wiseDeleted,
	catalog.InterviewStarted:     wiseStarted,
	catalog.InterviewFinished:    wiseEnded,
	catalog.ParticipantJoined:    wiseJoined,
	catalog.ParticipantLeft:      wiseLeft,
	catalog.RecordingCompleted:   wiseRecorded,
}

func wisePayload(m webhook.Message) (json.RawMessage, error) {
	payload := wisePayloads[m.EventType]
	if m.Context == nil || m.Context.Interview == nil || payload == nil {
		return dataOf(m)
	}
	return encode(payload(m))
}

// wiseID returns an id in the original's form, an ObjectId of 24 hex digits: a time in seconds and 8 more bytes. Both
// come from a UUIDv7: its time, and its last 8 bytes, of which 62 bits are random, so ids of the same second differ.
func wiseID(id uuid.UUID) string {
	ms := uint64(id[0])<<40 | uint64(id[1])<<32 | uint64(id[2])<<24 | uint64(id[3])<<16 | uint64(id[4])<<8 | uint64(id[5])
	s := uint32(ms / 1000)
	return hex.EncodeToString(append([]byte{byte(s >> 24), byte(s >> 16), byte(s >> 8), byte(s)}, id[8:]...))
}

type wiseSession struct {
	ID                 string `json:"_id"`
	ClassID            string `json:"classId,omitempty"`
	UserID             string `json:"userId,omitempty"`
	CreatedAt          stamp  `json:"createdAt"`
	MeetingStatus      string `json:"meetingStatus,omitempty"`
	Type               string `json:"type,omitempty"`
	Title              string `json:"title,omitempty"`
	ScheduledStartTime *stamp `json:"scheduledStartTime,omitempty"`
	ScheduledEndTime   *stamp `json:"scheduledEndTime,omitempty"`
}

// wiseSparse returns a session with the fields that all of its events have.
func wiseSparse(m webhook.Message) wiseSession {
	s := wiseSession{ID: wiseID(m.Context.Interview.ID), CreatedAt: stamp(m.Context.Interview.CreatedAt)}
	if m.Context.Job != nil {
		s.ClassID = wiseID(m.Context.Job.ID)
	}
	return s
}

func wiseFull(m webhook.Message) wiseSession {
	s := wiseSparse(m)
	s.UserID, s.Type, s.Title = wiseID(m.Context.Interview.AgentID), "SCHEDULED", wiseTitle(m.Context)
	s.schedule(m.Context.Interview, m.Context.Interview.ScheduledAt)
	return s
}

func (s *wiseSession) schedule(i *catalog.Interview, at time.Time) {
	start, end := stamp(at), stamp(at.Add(time.Duration(i.PlannedMin)*time.Minute))
	s.ScheduledStartTime, s.ScheduledEndTime = &start, &end
}

func wiseTitle(c *catalog.Context) string {
	if c.Job != nil {
		return c.Job.Title
	}
	return c.Interview.AgentName
}

func wiseCreated(m webhook.Message) any {
	s := wiseFull(m)
	s.MeetingStatus = "UPCOMING"
	return map[string][]wiseSession{"sessions": {s}}
}

// wiseRescheduled takes the time from the event's data: a pending call may have another time than the interview.
func wiseRescheduled(m webhook.Message) any {
	var data struct{ ScheduledAt time.Time }
	at := m.Context.Interview.ScheduledAt
	if json.Unmarshal(m.Data, &data) == nil && !data.ScheduledAt.IsZero() {
		at = data.ScheduledAt
	}
	s := wiseSparse(m)
	s.schedule(m.Context.Interview, at)
	return s
}

func wiseCanceled(m webhook.Message) any {
	s := wiseSparse(m)
	s.MeetingStatus = "CANCELLED"
	return s
}

func wiseDeleted(m webhook.Message) any {
	s := wiseFull(m)
	s.MeetingStatus = "CANCELLED"
	s.Title += " (Cancelled)"
	return s
}

// wiseMeeting is Zoom's notification, which the original passes on.
type wiseMeeting struct {
	SessionID string `json:"sessionId"`
	Event     string `json:"event"`
	EventTS   int64  `json:"event_ts"` // milliseconds since 1970
	Payload   struct {
		Object wiseObject `json:"object"`
	} `json:"payload"`
}

type wiseObject struct {
	Duration    int              `json:"duration"` // planned, in minutes
	StartTime   stamp            `json:"start_time"`
	EndTime     *stamp           `json:"end_time,omitempty"`
	Timezone    string           `json:"timezone"`
	Topic       string           `json:"topic"`
	ID          string           `json:"id"`
	Type        int              `json:"type"`
	UUID        uuid.UUID        `json:"uuid"`
	HostID      string           `json:"host_id"`
	Participant *wiseParticipant `json:"participant,omitempty"`
}

type wiseParticipant struct {
	UserID    string    `json:"user_id"`
	UserName  string    `json:"user_name"`
	ID        string    `json:"id"`
	JoinTime  *stamp    `json:"join_time,omitempty"`
	LeaveTime *stamp    `json:"leave_time,omitempty"`
	Email     string    `json:"email"`
	UUID      uuid.UUID `json:"participant_uuid"`
}

// zoomScheduled is Zoom's type of a meeting with a time.
const zoomScheduled = 2

func wiseNotice(m webhook.Message, event string) wiseMeeting {
	i := m.Context.Interview
	start := i.ScheduledAt
	if i.StartedAt != nil {
		start = *i.StartedAt
	}
	n := wiseMeeting{SessionID: wiseID(i.ID), Event: event, EventTS: m.OccurredAt.UnixMilli()}
	n.Payload.Object = wiseObject{
		Duration: i.PlannedMin, StartTime: stamp(start), Timezone: "UTC", Topic: wiseTitle(m.Context),
		ID: strconv.FormatInt(i.Number, 10), Type: zoomScheduled, UUID: i.ID, HostID: wiseID(i.AgentID),
	}
	return n
}

func wiseStarted(m webhook.Message) any { return wiseNotice(m, "meeting.started") }

func wiseEnded(m webhook.Message) any {
	n := wiseNotice(m, "meeting.ended")
	end := stamp(m.OccurredAt)
	if at := m.Context.Interview.FinishedAt; at != nil {
		end = stamp(*at)
	}
	n.Payload.Object.EndTime = &end
	return n
}

func wiseJoined(m webhook.Message) any {
	n, p := wiseNotice(m, "meeting.participant_joined"), wiseCandidate(m.Context)
	if n.Payload.Object.Participant = p; p != nil {
		p.JoinTime = new(stamp(m.OccurredAt))
	}
	return n
}

func wiseLeft(m webhook.Message) any {
	n, p := wiseNotice(m, "meeting.participant_left"), wiseCandidate(m.Context)
	if n.Payload.Object.Participant = p; p != nil {
		p.LeaveTime = new(stamp(m.OccurredAt))
		if at := m.Context.Interview.StartedAt; at != nil { // the candidate joins by starting the interview
			p.JoinTime = new(stamp(*at))
		}
	}
	return n
}

func wiseCandidate(c *catalog.Context) *wiseParticipant {
	if c.Candidate == nil {
		return nil
	}
	p := &wiseParticipant{
		UserID:   strconv.FormatInt(c.Candidate.Number, 10),
		UserName: c.Candidate.Name(),
		ID:       wiseID(c.Candidate.ID),
		UUID:     c.Candidate.ID,
	}
	if c.Candidate.Email != nil {
		p.Email = *c.Candidate.Email
	}
	return p
}

type wiseRecordings struct {
	UserID     string          `json:"userId"`
	SessionID  string          `json:"sessionId"`
	Recordings []wiseRecording `json:"recordings"`
}

type wiseRecording struct {
	Type     string `json:"type"`
	URL      string `json:"url"`
	Duration *int   `json:"duration,omitempty"` // seconds
	Part     int    `json:"partIndex"`          // from 0
}

func wiseRecorded(m webhook.Message) any {
	r := wiseRecordings{
		UserID: wiseID(m.Context.Interview.AgentID), SessionID: wiseID(m.Context.Interview.ID), Recordings: []wiseRecording{},
	}
	l := messageLinks(m)
	for _, rec := range m.Context.Recordings {
		if url := l.recording(rec); url != "" {
			r.Recordings = append(r.Recordings, wiseRecording{wiseKind(rec), url, rec.DurationSeconds, len(r.Recordings)})
		}
	}
	return r
}

// wiseKind returns the kind of a recording. Videos are stored here; recordings stored elsewhere are a provider's calls,
// which have sound only.
func wiseKind(r catalog.Recording) string {
	if r.Video != nil {
		return "VIDEO"
	}
	return "AUDIO"
}
