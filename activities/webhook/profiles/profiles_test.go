package profiles_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"greenroom/activities/webhook"
	"greenroom/activities/webhook/profiles"
	"greenroom/db/catalog"
)

func TestByName(t *testing.T) {
	t.Parallel()
	require.Equal(
		t,
		[]string{"instaview", "standard", "wiseway", "interview-suite", "ai-interviews", "wise"},
		profiles.Names(),
	)
	require.Equal(t, profiles.Default, profiles.Names()[0])
	for _, name := range profiles.Names() {
		assert.Equal(t, name, profile(t, name).Name)
	}
	for _, name := range []string{"", "Standard", "unheard-of"} {
		_, err := profiles.ByName(name)
		require.ErrorIs(t, err, webhook.ErrUnknownProfile, name)
	}
}

// TestContracts has the rules of each contract, one row each.
func TestContracts(t *testing.T) {
	t.Parallel()
	any2xx := []int{200, 201, 202, 204, 299}
	standard := []int{0, 5, 305, 2105, 9305, 27305, 63305, 113705, 185705, 272105}
	for _, tc := range []struct {
		profile   string
		events    []string
		numbered  int
		success   []int
		offsets   []int // seconds after the first attempt, or after the event
		fromEvent bool
		timeout   time.Duration
		userAgent string
		keyHeader string
	}{
		{
			"instaview", []string{
				"analysis.completed", "analysis.failed", "ping", "interview.completed", "interview.failed", "interview.started",
				"sourcing.completed", "sourcing.failed", "enrich.completed", "enrich.failed",
			}, 6, any2xx, []int{0, 5, 35, 335}, false, 30 * time.Second, "Greenroom-Webhooks/1.0", "",
		},
		{"standard", typeNames(), 0, any2xx, standard, false, 15 * time.Second, "Greenroom-Webhooks/1.0", ""},
		{
			"wiseway", []string{
				"interview.completed", "interview.started", "candidate.invited", "candidate.created",
				"position.created", "position.updated",
			}, 0, any2xx, standard, false, 15 * time.Second, "Greenroom-Webhooks/1.0", "",
		},
		{
			"interview-suite",
			[]string{"project_changed", "candidate_changed", "answervideo_changed", "rating_changed", "note_changed"},
			0, any2xx, standard, false, 15 * time.Second, "interview suite webhook", "",
		},
		{
			"ai-interviews",
			[]string{"start", "submission"},
			0, any2xx, standard, false, 15 * time.Second,
			"Greenroom-Webhooks/1.0", "",
		},
		{
			"wise",
			[]string{
				"ParticipantJoinedMeetingEvent", "SharingStaredInMeetingEvent", "ParticipantLeftMeetingEvent",
				"SharingEndedInMeetingEvent",
				"MeetingStartedEvent", "MeetingEndedEvent", "RecordingCompletedEvent", "CertificateIssuedEvent",
				"AttendanceComputedEvent",
				"StudentAddedToClassroomEvent", "TeacherAddedToClassroomEvent", "StudentRemovedFromClassroomEvent",
				"TeacherRemovedFromClassroomEvent", "StudentSuspensionUpdatedEvent", "FeePaymentCompletedEvent",
				"FeeInvoiceChargedEvent",
				"SessionsCreatedEvent", "SessionsUpdatedEvent", "SessionsDeletedEvent",
			},
			0,
			[]int{200},
			[]int{0, 60, 180, 420, 900, 1860, 3780, 7620, 15300},
			true, 5 * time.Second, "Greenroom-Webhooks/1.0",
			"Authorization",
		},
	} {
		t.Run(tc.profile, func(t *testing.T) {
			t.Parallel()
			p := profile(t, tc.profile)
			assert.Equal(t, tc.events, p.Names())
			assert.Equal(t, tc.numbered, p.Numbered)
			assert.Equal(t, tc.fromEvent, p.FromEvent)
			assert.Equal(t, tc.timeout, p.Timeout)
			assert.Equal(t, tc.userAgent, p.UserAgent)
			assert.NotEmpty(t, p.SuccessRule)
			for status := 100; status < 600; status++ {
				assert.Equal(
					t,
					slices.Contains(tc.success, status),
					p.Success(status) && slices.Contains(append(any2xx, tc.success...), status),
					status,
				)
				assert.False(t, p.Success(status) && (status < 200 || status > 299), status)
			}
			offsets := []int{}
			for n := range len(p.Schedule) + 1 {
				offsets = append(offsets, int(p.Offset(n)/time.Second))
			}
			assert.Equal(t, tc.offsets, offsets)
			assert.Equal(t, tc.keyHeader, p.KeyHeader)
		})
	}
}

func typeNames() (names []string) {
	for _, t := range profiles.Types() {
		names = append(names, t.Name)
	}
	return names
}

func TestCatalogue(t *testing.T) {
	t.Parallel()
	wise := profile(t, "wise")
	require.Len(t, wise.Types, 19)
	require.Len(t, profiles.Types(), len(catalog.Types())+19)
	for _, typ := range wise.Types {
		assert.True(t, profiles.Publishable(typ.Name))
		assert.NotEmpty(t, typ.When)
		assert.True(t, json.Valid(profiles.SchemaOf(typ.Name)), typ.Name)
		names, err := wise.ByName(typ.Name)
		require.NoError(t, err)
		assert.Contains(t, names, typ.Name, "a name is also that of a type that may be published")
	}
	assert.Nil(t, profiles.SchemaOf(catalog.InterviewStarted), "the domain's own data is not checked")
	assert.Nil(t, profiles.SchemaOf("unheard.of"))
	assert.False(t, profiles.Publishable(catalog.Ping), "a test call makes pings")
	assert.False(t, profiles.Publishable("unheard.of"))
	assert.True(t, profiles.Known(catalog.Ping))
	assert.False(t, profiles.Known("unheard.of"))
}

// A domain type has at most one name in a profile, and no name or type is unknown.
func TestEveryNameIsOfKnownTypes(t *testing.T) {
	t.Parallel()
	for _, p := range profiles.All() {
		seen := map[string]bool{}
		for _, e := range p.Events {
			require.NotEmpty(t, e.Types, e.Name)
			require.False(t, seen["name "+e.Name], "%s of %s is there twice", e.Name, p.Name)
			seen["name "+e.Name] = true
			for _, typ := range e.Types {
				require.True(t, profiles.Known(typ), "%s of %s", typ, p.Name)
				require.False(t, seen[typ], "%s of %s has two names", typ, p.Name)
				seen[typ] = true
				require.Equal(t, e.Name, p.NameOf(typ))
			}
		}
	}
}

func TestRenderRefusesWhatIsNotJSON(t *testing.T) {
	t.Parallel()
	for _, p := range profiles.All() {
		m := message(t, p, catalog.Ping)
		for _, data := range []string{`{`, `{} {}`, `nope`, `{"a":1},"b":2`, "\x00"} {
			m.Data = json.RawMessage(data)
			_, err := p.Render(m)
			require.ErrorIs(t, err, webhook.ErrInvalidData, "%s %q", p.Name, data)
		}
		m.Data = nil
		body, err := p.Render(m)
		require.NoError(t, err)
		assert.Contains(t, string(body), `{}`)
	}
}

// The body of a published event is JSON that holds its data byte for byte, for any name and data.
func TestRenderProperties(t *testing.T) {
	t.Parallel()
	blank := message(t, profile(t, "standard"), catalog.Ping)
	rapid.Check(t, func(t *rapid.T) {
		m := blank
		m.EventName = rapid.String().Draw(t, "event name")
		m.EventType = m.EventName
		var err error
		m.Data, err = json.Marshal(rapid.MapOf(rapid.String(), rapid.String()).Draw(t, "data"))
		require.NoError(t, err)
		p := rapid.SampledFrom(profiles.All()).Draw(t, "profile")

		body, err := p.Render(m)
		require.NoError(t, err)
		if p.Name == "ai-interviews" { // flat
			require.Equal(t, string(m.Data), string(body))
			return
		}
		var got struct {
			Event, Type, Timestamp, Time string
			Data, Payload                json.RawMessage
		}
		require.NoError(t, json.Unmarshal(body, &got))
		require.Equal(t, m.EventName, got.Event+got.Type)
		require.Equal(t, string(m.Data), string(got.Data)+string(got.Payload))
		require.Equal(
			t,
			map[bool]string{true: "", false: "2024-01-20T14:30:00.123Z"}[p.Name == "wise" || p.Name == "interview-suite"],
			got.Timestamp,
		)
	})
}

// A profile renders JSON even if any part of the context is missing.
func TestRenderPartialContext(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		p := rapid.SampledFrom(profiles.All()).Draw(rt, "profile")
		e := rapid.SampledFrom(p.Events).Draw(rt, "event")
		typ := rapid.SampledFrom(e.Types).Draw(rt, "type")
		m := message(t, p, typ)
		if m.Context = about(typ); m.Context == nil {
			return
		}
		drop := func(what string, f func()) {
			if rapid.Bool().Draw(rt, what) {
				f()
			}
		}
		c := m.Context
		drop("company", func() { c.Company = nil })
		drop("job", func() { c.Job = nil })
		drop("candidate", func() { c.Candidate = nil })
		drop("interview", func() { c.Interview = nil })
		drop("analysis", func() { c.Analysis = nil })
		drop("staff", func() { c.Staff = nil })
		drop("video", func() { c.AnswerVideo = nil })
		body, err := p.Render(m)
		require.NoError(rt, err)
		require.True(rt, json.Valid(body))
		require.NotContains(rt, string(body), "//api/")
		require.NotContains(rt, string(body), "/0/", "the address of a missing row")
		require.NotContains(rt, string(body), `":"/`, "an address without a host")
	})
}

// TestRotation: during a rotation a receiver with either secret can verify, if the contract allows several signatures.
func TestRotation(t *testing.T) {
	t.Parallel()
	at, body := time.Unix(1_700_000_000, 0), []byte(`{}`)
	sign := func(name string, secrets ...[]byte) http.Header {
		h := http.Header{}
		profile(t, name).Sign(h, webhook.Message{}, secrets, body, at)
		return h
	}
	v1 := func(n byte) string {
		signed := sign("wiseway", testSecret(n)).Get("X-Wiseway-Signature")
		return strings.TrimPrefix(signed, "t=1700000000,")
	}
	require.Equal(
		t,
		"t=1700000000,"+v1(1)+","+v1(2),
		sign("wiseway", testSecret(1), testSecret(2)).Get("X-Wiseway-Signature"),
	)
	require.Equal(t, sign("instaview", testSecret(1)), sign("instaview", testSecret(1), testSecret(2)), "the same")
	require.Empty(t, sign("instaview").Get("X-Webhook-Signature"))
	require.Empty(t, sign("wiseway").Get("X-Wiseway-Signature"))
}
