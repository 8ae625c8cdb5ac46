package api_test

import (
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"greenroom/db"
	"greenroom/db/token"
)

// The contract's check reads bodies by their type and knows no pages.
var _ = func() bool {
	openapi3filter.RegisterBodyDecoder("text/html", openapi3filter.PlainBodyDecoder)
	return true
}()

// invitePath is the path of the interview's inviteUrl.
func invitePath(interview object) string {
	return strings.TrimPrefix(interview["inviteUrl"].(string), "https://greenroom.test")
}

func TestInvite(t *testing.T) {
	t.Parallel()
	b := setup(t)
	i := b.made(
		"/interviews",
		object{"candidate": inlineCandidate(), "job": inlineJob(), "agentId": b.agent("ONLINE")["id"]},
	)
	path := invitePath(i)
	t.Run("shows_what_the_candidate_needs", func(t *testing.T) {
		r := b.as("", "GET", path, nil)
		require.Equal(t, object{
			"interviewId":     i["id"],
			"type":            "ONLINE",
			"status":          "SCHEDULED",
			"company":         "Acme",
			"firstName":       "Ada",
			"jobTitle":        "Engineer",
			"agent":           "Screening",
			"language":        "EN",
			"durationMinutes": 15.0,
			"questions":       []any{"Why?", "When?"},
			"scheduledAt":     i["scheduledAt"],
			"deadlineAt":      i["deadlineAt"],
			"startedAt":       nil,
		}, r.is(200))
		require.Equal(t, "no-referrer", r.Header.Get("Referrer-Policy"))
		require.Equal(t, "no-store", r.Header.Get("Cache-Control"))
	})
	answers := []any{object{"question": "Why?", "answer": "Because"}, object{"question": "When?", "answer": ""}}
	t.Run("submit_before_start_is_a_conflict", func(t *testing.T) {
		b.leaves(func() { b.as("", "POST", path+"/submit", object{"answers": answers}).fails(409, "INVALID_STATE") })
	})
	t.Run("start_is_idempotent", func(t *testing.T) {
		first := b.as("", "POST", path+"/start", nil).is(200)
		require.Equal(t, "IN_PROGRESS", first["status"])
		require.Equal(t, first, b.as("", "POST", path+"/start", object{}).is(200))
		require.Equal(t, "IN_PROGRESS", b.get("/interviews/" + idOf(i))["status"])
	})
	t.Run("submit", func(t *testing.T) {
		require.Equal(t, "COMPLETED", b.as("", "POST", path+"/submit", object{"answers": answers}).is(200)["status"])
		got := b.get("/interviews/" + idOf(i))
		require.Equal(t, answers, got["answers"])
		require.Equal(t, "PENDING", got["analysisStatus"])
		require.NotNil(t, got["finishedDate"])
		var due time.Time
		require.NoError(t, b.NewRaw("SELECT analysis_due_at FROM interviews WHERE id = ?", idOf(i)).Scan(b.ctx, &due))
		require.WithinDuration(t, time.Now().Add(time.Hour), due, time.Minute)
		require.Equal(t, []string{
			"interview.scheduled",
			"candidate.invited",
			"interview.started",
			"participant.joined",
			"participant.left",
			"interview.finished",
		}, b.events()[1:])
	})
	t.Run("once", func(t *testing.T) {
		b.leaves(func() {
			b.as("", "POST", path+"/submit", object{"answers": answers}).fails(409, "INVALID_STATE")
			b.as("", "POST", path+"/start", nil).fails(409, "INVALID_STATE")
		})
	})
}

func TestInviteOpensAtItsTime(t *testing.T) {
	t.Parallel()
	b := setup(t)
	at := time.Now().UTC().Add(48 * time.Hour)
	i := b.made(
		"/interviews",
		object{"candidate": inlineCandidate(), "job": inlineJob(), "agentId": b.agent("ONLINE")["id"], "scheduledAt": at},
	)
	path := invitePath(i)
	e := b.as("", "POST", path+"/start", nil).fails(409, "INVALID_STATE")
	require.Equal(t, i["scheduledAt"], e.Error.Details["scheduledAt"])
	page := b.as("", "GET", path, nil, "Accept", "text/html")
	require.Contains(t, string(page.Body), "It opens on "+at.Format("Monday, 2 January 2006, 15:04 UTC"))
	require.NotContains(t, string(page.Body), `id="start"`)
}

func TestInviteIsGone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	i := b.interview("ONLINE")
	_, err := b.ExecContext(b.ctx, "UPDATE interviews SET deadline_at = now() - interval '1 second' WHERE id = ?", idOf(i))
	require.NoError(t, err)
	b.leaves(func() { b.as("", "POST", invitePath(i)+"/start", nil).fails(410, "INVALID_STATE") })
	_, err = b.ExecContext(
		b.ctx,
		"UPDATE interviews SET status = 'FAILED', status_reason = ? WHERE id = ?",
		db.ReasonInvitationExpired,
		idOf(i),
	)
	require.NoError(t, err)
	b.leaves(func() { b.as("", "POST", invitePath(i)+"/start", nil).fails(410, "INVALID_STATE") })
	require.Contains(t, string(b.as("", "GET", invitePath(i), nil, "Accept", "text/html").Body), "has passed")
	late := b.interview("ONLINE")
	b.as("", "POST", invitePath(late)+"/start", nil).is(200)
	_, err = b.ExecContext(
		b.ctx,
		"UPDATE interviews SET deadline_at = now() - interval '1 second' WHERE id = ?",
		idOf(late),
	)
	require.NoError(t, err)
	b.as("", "POST", invitePath(late)+"/start", nil).is(200) // the deadline is for starting
	canceled := b.interview("ONLINE")
	b.do("POST", "/interviews/"+idOf(canceled)+"/cancel", nil).is(200)
	b.as("", "POST", invitePath(canceled)+"/start", nil).fails(409, "INVALID_STATE")
}

func TestInviteTokens(t *testing.T) {
	t.Parallel()
	b := setup(t)
	online, phone, deleted := b.interview("ONLINE"), b.interview("PHONE"), b.interview("ONLINE")
	require.Equal(t, 200, b.do("DELETE", "/interviews/"+idOf(deleted), nil).Status)
	b.leaves(func() {
		for name, path := range map[string]string{
			"no_token": "/i/" + idOf(online), "empty": "/i/" + idOf(online) + ".", "no_id": "/i/x.y", "nothing": "/i/.", "nul": "/i/%00",
			"another_interview": "/i/" + idOf(online) + "." + token.For(testSecret, token.Invite, uid(phone)),
			"another_purpose":   "/i/" + idOf(online) + "." + token.For(testSecret, token.Callback, uid(online)),
			"phone":             "/i/" + idOf(phone) + "." + token.For(testSecret, token.Invite, uid(phone)),
			"deleted":           invitePath(deleted),
			"unknown": func() string {
				id := uuid.New()
				return "/i/" + id.String() + "." + token.For(testSecret, token.Invite, id)
			}(),
		} {
			for _, r := range []response{
				b.as("", "GET", path, nil), b.as("", "GET", path, nil, "Accept", "text/html"), b.as("", "POST", path+"/start", nil),
				b.as("", "POST", path+"/submit", object{"answers": []any{}}),
			} {
				require.Equal(t, 404, r.Status, "%s: %s", name, r.Body)
				require.Equal(t, "RESOURCE_NOT_FOUND", r.Error.Code)
			}
		}
	})
}

func TestSubmitRefusals(t *testing.T) {
	t.Parallel()
	b := setup(t)
	i := b.interview("ONLINE")
	path := invitePath(i)
	b.as("", "POST", path+"/start", nil).is(200)
	many := make([]object, 201)
	for n := range many {
		many[n] = object{"answer": "x"}
	}
	b.leaves(func() {
		b.as("", "POST", path+"/submit", object{}).fails(400, "MISSING_REQUIRED_FIELD", "answers")
		for field, answers := range map[string]any{
			"answers": many, "answers[0].answer": []object{{"answer": strings.Repeat("x", 20001)}}, "answers[1]": []any{object{}, "text"},
			"answers[0].question": []object{{"question": 1}}, "answers[0].score": []object{{"score": 1}},
		} {
			b.as("", "POST", path+"/submit", object{"answers": answers}).fails(400, "VALIDATION_ERROR", field)
		}
	})
	b.refuses("POST", path+"/submit", badBodies("answers"))
	require.Equal(
		t,
		"COMPLETED",
		b.as("", "POST", path+"/submit", object{"answers": []any{}}).is(200)["status"],
		"no questions, no answers",
	)
}

func TestInvitePage(t *testing.T) {
	t.Parallel()
	b := setup(t)
	agent := b.agent("ONLINE", object{"questions": []any{`<script>alert("x")</script>`, "Second?"}})
	i := b.made("/interviews", object{"candidate": inlineCandidate(), "job": inlineJob(), "agentId": agent["id"]})
	browser := func() response {
		return b.as("", "GET", invitePath(i), nil, "Accept", "text/html,application/xhtml+xml,*/*;q=0.8")
	}
	r := browser()
	require.Equal(t, 200, r.Status)
	require.Equal(t, "text/html; charset=utf-8", r.Header.Get("Content-Type"))
	require.Contains(t, r.Header.Get("Content-Security-Policy"), "default-src 'none'")
	page := string(r.Body)
	require.NotContains(t, page, "<script>alert", "what a company writes is text")
	require.Contains(t, page, "Second?")
	require.Equal(t, 2, strings.Count(page, "<textarea"))
	require.Contains(t, page, "'start'")
	b.as("", "POST", invitePath(i)+"/start", nil).is(200)
	b.as("", "POST", invitePath(i)+"/submit", object{"answers": []any{}}).is(200)
	require.Contains(t, string(browser().Body), "Your answers have arrived")
	require.NotContains(t, string(browser().Body), "<textarea")
}
