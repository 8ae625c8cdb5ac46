package api_test

import (
	"net/url"
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
			"maxMinutes":      60.0,
			"endsAt":          nil,
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
		started, err := time.Parse(time.RFC3339, first["startedAt"].(string))
		require.NoError(t, err)
		ends, err := time.Parse(time.RFC3339, first["endsAt"].(string))
		require.NoError(t, err)
		require.Equal(t, time.Hour, ends.Sub(started))
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
	page := b.page(path, 200)
	require.Contains(t, page, "It opens on <time datetime=\""+at.Format(time.RFC3339)+"\">"+
		at.Format("Monday, 2 January 2006, 15:04 UTC")+"</time>")
	require.NotContains(t, page, `id="start"`)
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
	require.Contains(t, b.page(invitePath(i), 410), "has passed")
	r := b.form(invitePath(i)+"/start", nil)
	require.Equal(t, 303, r.Status, "the page says what has happened")
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
			for _, page := range []string{
				b.page(path, 404), string(b.form(path+"/start", nil).Body), string(b.form(path+"/submit", url.Values{}).Body),
			} {
				require.Contains(t, page, "<h1>There is no such invitation</h1>", name)
				require.NotContains(t, page, "<script")
			}
			for _, r := range []response{
				b.as("", "GET", path, nil), b.as("", "POST", path+"/start", nil),
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

// page is what a browser shows of an invitation.
func (b *bundle) page(path string, status int, headers ...string) string {
	b.t.Helper()
	r := b.as("", "GET", path, nil, append([]string{"Accept", "text/html,application/xhtml+xml,*/*;q=0.8"}, headers...)...)
	require.Equal(b.t, status, r.Status, "%s", r.Body)
	require.Equal(b.t, "text/html; charset=utf-8", r.Header.Get("Content-Type"))
	require.Equal(b.t, "no-referrer", r.Header.Get("Referrer-Policy"))
	policy := r.Header.Get("Content-Security-Policy")
	require.Contains(b.t, policy, "default-src 'none'")
	require.NotContains(b.t, policy, "unsafe")
	return string(r.Body)
}

// form sends one of the page's forms, as a browser without scripts does.
func (b *bundle) form(path string, fields url.Values) response {
	b.t.Helper()
	return b.as("", "POST", path, fields.Encode(),
		"Accept", "text/html,*/*;q=0.8", "Content-Type", "application/x-www-form-urlencoded")
}

func TestInvitePage(t *testing.T) {
	t.Parallel()
	b := setup(t)
	agent := b.agent("ONLINE", object{"questions": []any{`<script>alert("x")</script>`, "Second?"}})
	i := b.made("/interviews", object{"candidate": inlineCandidate(), "job": inlineJob(), "agentId": agent["id"]})
	path := invitePath(i)
	t.Run("before_the_start", func(t *testing.T) {
		page := b.page(path, 200)
		require.Contains(t, page, `<form id="start" method="post" action="`+path+`/start">`)
		require.Contains(t, page, "Please start before <time")
		require.Contains(t, page, "From when you start you have 60 minutes")
		require.Contains(t, page, "Your answers are sent to Acme")
		require.NotContains(t, page, "<textarea")
	})
	t.Run("the_form_starts_the_interview", func(t *testing.T) {
		r := b.form(path+"/start", nil)
		require.Equal(t, 303, r.Status)
		require.Equal(t, path, r.Header.Get("Location"))
		require.Equal(t, "IN_PROGRESS", b.get("/interviews/" + idOf(i))["status"])
	})
	t.Run("in_progress", func(t *testing.T) {
		page := b.page(path, 200)
		require.NotContains(t, page, "<script>alert", "what a company writes is text")
		require.Contains(t, page, "Second?")
		require.Equal(t, 2, strings.Count(page, "<textarea"))
		require.Equal(t, 3, strings.Count(page, " required"), "each answer and the confirmation")
		require.Contains(t, page, "Please submit before <time")
		require.Regexp(t, `Date\.now\(\) \+ +3(600|59\d) +\*`, page)
	})
	t.Run("incomplete_answers_are_kept_and_not_final", func(t *testing.T) {
		for name, fields := range map[string]url.Values{
			"one is missing":   {"answer0": {"first <b>"}, "final": {"yes"}},
			"one is blank":     {"answer0": {"first <b>"}, "answer1": {" \r\n\t"}, "final": {"yes"}},
			"not confirmed":    {"answer0": {"first <b>"}, "answer1": {"second"}},
			"another question": {"answer0": {"first <b>"}, "answer7": {"x"}, "final": {"yes"}},
		} {
			b.leaves(func() {
				r := b.form(path+"/submit", fields)
				require.Equal(t, 422, r.Status, name)
				require.Contains(t, string(r.Body), "Please answer every question")
				require.Contains(t, string(r.Body), "first &lt;b&gt;</textarea>", "nothing that was written is lost")
			})
		}
		r := b.form(path+"/submit", url.Values{"answer0": {strings.Repeat("x", 20001)}, "answer1": {"x"}, "final": {"yes"}})
		require.Equal(t, 400, r.Status)
		require.Equal(t, 413, b.form(path+"/submit", url.Values{"answer0": {strings.Repeat("x", 4<<20)}}).Status)
	})
	t.Run("the_form_submits_the_answers", func(t *testing.T) {
		full := strings.Repeat("ž", 20000)
		fields := url.Values{"answer0": {"a\r\nb\x00\xff"}, "answer1": {full}, "final": {"yes"}}
		r := b.form(path+"/submit", fields)
		require.Equal(t, 303, r.Status, "%s", r.Body)
		require.Equal(t, path, r.Header.Get("Location"))
		got := b.get("/interviews/" + idOf(i))
		require.Equal(t, "COMPLETED", got["status"])
		require.Equal(t, []any{
			object{"question": `<script>alert("x")</script>`, "answer": "a\nb\uFFFD"},
			object{"question": "Second?", "answer": full},
		}, got["answers"])
	})
	t.Run("completed", func(t *testing.T) {
		page := b.page(path, 200)
		require.Contains(t, page, "Your answers have arrived")
		require.NotContains(t, page, "<form")
		b.leaves(func() {
			for _, what := range []string{"/start", "/submit"} {
				require.Equal(t, 303, b.form(path+what, url.Values{"final": {"yes"}}).Status, "the page shows the state")
			}
		})
	})
}

func TestInvitePageLanguages(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for language, c := range map[string]struct{ lang, want string }{
		"DE": {"de", "Beginnen"}, "de-AT": {"de", "Beginnen"}, "fr": {"fr", "Commencer"}, "ES": {"es", "Empezar"},
		"EN": {"en", "Start"}, "SK": {"en", "Start"},
	} {
		agent := b.agent("ONLINE", object{"language": language, "focus": "GENERIC"})
		i := b.made("/interviews", object{"candidateId": b.candidate()["id"], "agentId": agent["id"]})
		page := b.page(invitePath(i), 200, "Accept-Language", "it")
		require.Contains(t, page, `<html lang="`+c.lang+`">`, language)
		require.Contains(t, page, "<button>"+c.want+"</button>", language)
		b.as("", "POST", invitePath(i)+"/start", nil).is(200)
		require.Contains(t, b.page(invitePath(i), 200), `lang="`+strings.ToLower(language)+`">Why?</label>`,
			"the questions are in the agent's language")
	}
	for accepted, want := range map[string]string{
		"": "There is no such invitation", "fr-CH,fr;q=0.9,en;q=0.8": "Cette invitation n’existe pas",
		"ja, de;q=0.5": "Diese Einladung gibt es nicht", "ja": "There is no such invitation",
	} {
		require.Contains(t, b.page("/i/none", 404, "Accept-Language", accepted), "<h1>"+want+"</h1>", accepted)
	}
}
