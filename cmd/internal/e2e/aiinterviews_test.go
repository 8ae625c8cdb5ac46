package e2e_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/emersion/go-smtp"
	"github.com/stretchr/testify/require"

	"greenroom/cmd/internal/config"
)

// callAI calls the AI interviews API as its clients do.
func (s *system) callAI(method, path string, body any) (answer map[string]any) {
	s.t.Helper()
	raw, err := json.Marshal(body)
	require.NoError(s.t, err)
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.url+"/api/v2/ai-interviews"+path, bytes.NewReader(raw))
	require.NoError(s.t, err)
	req.Header.Set("apiKey", s.key)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(s.t, err)
	defer resp.Body.Close()
	require.NoError(s.t, json.NewDecoder(resp.Body).Decode(&answer))
	require.Less(s.t, resp.StatusCode, 300, "%s %s: %v", method, path, answer)
	return answer
}

// generated requests an AI interview and waits for its end. It returns the status and the notification to the client.
func (s *system) generated(r *receiver) (status, news map[string]any) {
	s.t.Helper()
	job := s.callAI(http.MethodPost, "/generate-interview", map[string]any{
		"job_role": "Receptionist", "job_description": "Greets people", "notification_url": r.URL + "/news",
	})
	require.Equal(s.t, "pending", job["status"])
	path := fmt.Sprintf("/generate-interview/%s", job["job_id"])
	ended := func() bool {
		if r.count() == 0 {
			return false
		}
		all := r.all()
		require.NoError(s.t, json.Unmarshal(all[len(all)-1].Raw, &news))
		return news["status"] != "pending"
	}
	s.eventually(ended, "the client is notified of the end")
	return s.callAI(http.MethodGet, path, nil), news
}

func TestGenerateInterview(t *testing.T) {
	t.Run("with_a_generator", func(t *testing.T) {
		tries := 0
		generator := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if tries++; tries == 1 { // the first try of a generator that has just started
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			if r.URL.Path != "/generations" || r.Header.Get("Authorization") != "Bearer g" {
				w.WriteHeader(http.StatusNotFound)
				return
			}
			_, _ = io.WriteString(w, `{"questions":["Whom have you greeted?","How?"]}`)
		}))
		t.Cleanup(generator.Close)
		s := setup(t, func(c *config.Config) { c.Generator = config.Service{URL: generator.URL, Token: "g"} })
		status, news := s.generated(listen(t, nil))
		require.Equal(t, status, news)
		require.Equal(t, "completed", status["status"])
		id, _ := status["ai_interview_id"].(float64)
		invited := s.callAI(http.MethodPost, "/invite", map[string]any{
			"candidate_name":  "Ada Byron",
			"candidate_email": "ada@mail.test",
			"ai_interview_id": int(id),
			"invite_format":   "getlink",
		})
		invitation := s.must(http.MethodGet, strings.TrimPrefix(invited["invite_link"].(string), s.url), nil)
		require.Equal(t, []any{"Whom have you greeted?", "How?"}, invitation["questions"])
		s.record("GenerateInterview-questions", fmt.Sprintf("generate:%s", status["job_id"]))
	})
	t.Run("without", func(t *testing.T) {
		s := setup(t)
		status, _ := s.generated(listen(t, nil))
		require.Equal(t, "completed", status["status"])
		require.NotNil(t, status["ai_interview_id"])
		s.record("GenerateInterview-without_generator", fmt.Sprintf("generate:%s", status["job_id"]))
	})
}

// mailbox is the backend of an SMTP server that stores all mails.
type mailbox struct{ mails chan string }

func (m *mailbox) NewSession(*smtp.Conn) (smtp.Session, error) { return m, nil }
func (m *mailbox) Reset()                                      {}
func (m *mailbox) Logout() error                               { return nil }
func (m *mailbox) Mail(string, *smtp.MailOptions) error        { return nil }
func (m *mailbox) Rcpt(string, *smtp.RcptOptions) error        { return nil }

func (m *mailbox) Data(r io.Reader) error {
	raw, err := io.ReadAll(r)
	m.mails <- string(raw)
	return err
}

// setupMailing returns a system with an SMTP server.
func setupMailing(t *testing.T) (*system, *mailbox) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	box := &mailbox{mails: make(chan string, 10)}
	srv := smtp.NewServer(box)
	t.Cleanup(func() { _ = srv.Close() })
	go func() { _ = srv.Serve(ln) }()
	return setup(t, func(c *config.Config) {
		c.SMTP = config.SMTP{URL: "smtp://" + ln.Addr().String(), From: "Recruiting <jobs@acme.test>"}
	}), box
}

// text decodes the transfer encoding of a mail's body.
func text(mail string) string { return strings.NewReplacer("=\r\n", "", "=3D", "=").Replace(mail) }

// The positions API and POST /interviews also send invitations by e-mail.
func TestInvitationByMailFromOtherSurfaces(t *testing.T) {
	s, box := setupMailing(t)
	_, position := s.call(
		http.MethodPost,
		s.url+"/api/app/positions",
		"x-api-key",
		s.key,
		map[string]any{"title": "Engineer"},
	)
	path := s.url + "/api/app/positions/" + position.(map[string]any)["id"].(string) + "/candidates"
	_, invited := s.call(
		http.MethodPost,
		path,
		"x-api-key",
		s.key,
		map[string]any{"name": "Ada Byron", "email": "ada@mail.test"},
	)
	require.Contains(t, text(<-box.mails), invited.(map[string]any)["inviteUrl"])

	s.interview("ONLINE", "+421900123456")
	mail := text(<-box.mails)
	require.Contains(t, mail, "grace@example.com")
	require.Contains(t, mail, s.url+"/i/")
	s.interview("PHONE", "+421900123456")
	s.call(
		http.MethodPost,
		path,
		"x-api-key",
		s.key,
		map[string]any{"name": "Eve", "email": "eve@mail.test", "invite": false},
	)
	s.call(http.MethodPost, path, "x-api-key", s.key, map[string]any{"name": "Max", "email": "max@mail.test"})
	require.Contains(
		t,
		text(<-box.mails),
		"max@mail.test",
		"neither a call nor a candidate without an invitation is mailed",
	)
	require.Empty(t, box.mails)
}

// A candidate is invited by e-mail and opens its link. Webhooks of the AI interviews profile report the start and the
// submission.
func TestInvitationByMail(t *testing.T) {
	s, box := setupMailing(t)
	r := listen(t, nil)
	s.callAI(http.MethodPost, "/settings/webhooks", map[string]any{"webhooks": map[string]any{
		"start": map[string]any{
			"status": true,
			"url":    r.URL + "/start",
		},
		"submission": map[string]any{"status": true, "url": r.URL + "/submission"},
		"auth":       map[string]any{"type": "basic", "basic": map[string]any{"username": "user", "password": "pass"}},
	}})
	status, _ := s.generated(listen(t, nil))
	id, _ := status["ai_interview_id"].(float64)
	invited := s.callAI(http.MethodPost, "/invite", map[string]any{
		"candidate_name":  "Ada Byron",
		"candidate_email": "ada@mail.test",
		"ai_interview_id": int(id),
		"invite_format":   "sendlink",
	})
	require.Equal(t, "Link created, e-mail queued", invited["status"])
	mail := text(<-box.mails)
	link := invited["invite_link"].(string)
	require.Contains(t, mail, link)

	path := strings.TrimPrefix(link, s.url)
	key := s.key
	s.key = "" // the candidate has no key
	s.must(http.MethodPost, path+"/start", nil)
	s.must(http.MethodPost, path+"/submit", map[string]any{"answers": []any{}})
	s.key = key
	var interview string
	require.NoError(t, s.db.NewRaw("SELECT id FROM interviews").Scan(t.Context(), &interview))
	s.must(
		http.MethodPost,
		"/interviews/"+interview+"/analysis",
		map[string]any{"general": map[string]any{"overallRating": 91}},
	)
	s.eventually(func() bool { return r.count() == 2 }, "start and submission arrive")
	notified := map[string]map[string]any{}
	for _, got := range r.all() {
		require.Equal(t, "Basic dXNlcjpwYXNz", got.Header.Get("Authorization"))
		var body map[string]any
		require.NoError(t, json.Unmarshal(got.Raw, &body))
		notified[body["invite_status"].(string)] = body
	}
	require.Equal(t, invited["response_id"], notified["Started"]["response_id"])
	require.InEpsilon(t, 9.1, notified["Completed"]["score"], 1e-9)
	report := s.callAI(http.MethodGet, fmt.Sprintf("/report/%v", invited["response_id"]), nil)
	delete(report, "conversation")
	require.Equal(t, report, notified["Completed"], "the webhook and the report are equal")
	require.Empty(t, box.mails, "exactly one mail was sent")
	s.record("Interview-mailed", "interview:"+interview)
}

// TestTestOfAIInterviews: a test of the receivers of the settings sends the sample of their flat bodies, as a test.
func TestTestOfAIInterviews(t *testing.T) {
	s := setup(t)
	r := listen(t, nil)
	s.callAI(http.MethodPost, "/settings/webhooks", map[string]any{"webhooks": map[string]any{
		"start":      map[string]any{"status": true, "url": r.URL + "/start"},
		"submission": map[string]any{"status": true, "url": r.URL + "/submission"},
		"auth":       map[string]any{"type": "basic", "basic": map[string]any{"username": "user", "password": "pass"}},
	}})
	test := func(hook any, body any) map[string]any {
		t.Helper()
		before := r.count()
		result := s.must(http.MethodPost, fmt.Sprintf("/webhooks/%s/test", hook), body)
		require.Equal(t, true, result["success"], result)
		require.Equal(t, before+1, r.count())
		got := r.all()[before]
		require.Equal(t, "true", got.Header.Get("Webhook-Test"))
		require.Equal(t, "Basic dXNlcjpwYXNz", got.Header.Get("Authorization"))
		var sent map[string]any
		require.NoError(t, json.Unmarshal(got.Raw, &sent))
		return sent
	}
	for _, hook := range s.must(http.MethodGet, "/webhooks", nil)["data"].([]any) {
		id, event := hook.(map[string]any)["id"], hook.(map[string]any)["events"].([]any)[0]
		sent := test(id, nil)
		require.Equal(t, "zoe@example.com", sent["candidate_email"])
		require.NotNil(t, sent["response_id"])
		require.NotContains(t, sent, "message")
		require.Equal(t, map[any]any{"start": "Started", "submission": "Completed"}[event], sent["invite_status"])
		require.Equal(t, event == "submission", sent["candidate_summary"] != nil)
		require.Equal(t, sent, test(id, map[string]any{"type": event}))
		require.Contains(t, test(id, map[string]any{"type": "ping"}), "message", "a ping is sent on request")
	}
	require.Equal(t, 6, r.count())
}
