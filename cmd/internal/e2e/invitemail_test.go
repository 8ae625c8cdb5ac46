package e2e_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

// repeat sends the same request twice with one Idempotency-Key. Both answers must be the same.
func (s *system) repeat(target, header, key string, body any) (answer []byte) {
	s.t.Helper()
	raw, err := json.Marshal(body)
	require.NoError(s.t, err)
	for n := range 2 {
		req, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, target, bytes.NewReader(raw))
		require.NoError(s.t, err)
		req.Header.Set(header, key)
		req.Header.Set("Idempotency-Key", target)
		req.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(req)
		require.NoError(s.t, err)
		got, err := io.ReadAll(resp.Body)
		require.NoError(s.t, err)
		require.NoError(s.t, resp.Body.Close())
		require.Less(s.t, resp.StatusCode, 300, "%s", got)
		if n == 1 {
			require.Equal(s.t, "true", resp.Header.Get("Idempotency-Replayed"))
			require.Equal(s.t, string(answer), string(got))
		}
		answer = got
	}
	return answer
}

// TestInvitationIsMailedOnce: each surface mails an invitation once, however often its request is sent.
func TestInvitationIsMailedOnce(t *testing.T) {
	s, box := setupMailing(t)
	_, position := s.call(http.MethodPost, s.url+"/api/app/positions", "x-api-key", s.key, map[string]any{"title": "Cook"})
	id := position.(map[string]any)["id"].(string)
	candidates := s.url + "/api/app/positions/" + id + "/candidates"
	var number int
	require.NoError(t, s.db.NewRaw("SELECT number FROM jobs WHERE id = ?", id).Scan(t.Context(), &number))

	s.repeat(candidates, "x-api-key", s.key, map[string]any{"name": "Ada", "email": "ada@mail.test"})
	again, _ := s.call(http.MethodPost, candidates, "x-api-key", s.key, map[string]any{
		"name": "Ada", "email": "ADA@mail.test",
	})
	require.Equal(t, http.StatusOK, again, "the open invitation")
	s.repeat(s.url+"/ai-interviews/invite", "apiKey", s.key, map[string]any{
		"candidate_name": "Bea", "candidate_email": "bea@mail.test", "ai_interview_id": number, "invite_format": "sendlink",
	})
	s.repeat(s.url+"/interviews", "Authorization", "Bearer "+s.key, map[string]any{
		"candidate": map[string]any{
			"firstName": "Cleo", "lastName": "Nile", "email": "cleo@mail.test", "gdprExpiryDate": "2040-01-01",
		},
		"jobId": id,
		"agent": map[string]any{"name": "Ada", "type": "ONLINE", "focus": "SCREENING", "language": "EN", "duration": 15},
	})
	_, company := s.operator()
	suite := fmt.Sprintf("%s/api/v3/companies/%.0f/projects/%d/candidates/", s.url,
		s.must(http.MethodGet, "/companies/"+company, nil)["number"], number)
	dora := map[string]any{"first_name": "Dora", "last_name": "Explorer", "email": "dora@mail.test"}
	s.call(http.MethodPost, suite, "Authorization", "Token "+s.key, dora)

	to := regexp.MustCompile(`(?m)^To: .*?([a-z]+@mail\.test)`)
	got := map[string]int{}
	for range 4 {
		got[to.FindStringSubmatch(<-box.mails)[1]]++
	}
	require.Equal(t, map[string]int{"ada@mail.test": 1, "bea@mail.test": 1, "cleo@mail.test": 1, "dora@mail.test": 1}, got)
	s.call(http.MethodPost, candidates, "x-api-key", s.key, map[string]any{"name": "Eve", "email": "eve@mail.test"})
	require.Contains(t, <-box.mails, "eve@mail.test", "nothing was mailed in between")
	require.Empty(t, box.mails)
	var open int
	require.NoError(t, s.db.NewRaw("SELECT count(*) FROM interviews WHERE invite_mail AND invite_mailed_at IS NULL").
		Scan(t.Context(), &open))
	require.LessOrEqual(t, open, 1, "none waits but perhaps the last")
}

// TestActivationByMail: a user who is created without a password gets a link by e-mail, chooses a password on its page
// and logs in.
func TestActivationByMail(t *testing.T) {
	s, box := setupMailing(t)
	_, company := s.operator()
	at := fmt.Sprintf("%s/api/v3/companies/%.0f/", s.url, s.must(http.MethodGet, "/companies/"+company, nil)["number"])
	create := func(name string) map[string]any {
		t.Helper()
		_, made := s.call(http.MethodPost, at+"customers/", "Authorization", "Token "+s.key, map[string]any{
			"username": name, "email": name + "@mail.test", "first_name": name, "account_type": "recruiter",
		})
		return made.(map[string]any)
	}
	eva := create("eva")
	mail := text(<-box.mails)
	require.Contains(t, mail, "eva@mail.test")
	link := regexp.MustCompile(`http://\S+/cfev3/activate/[0-9a-f]{32}`).FindString(mail)
	require.Equal(t, s.url+"/cfev3/activate/"+eva["activation_key"].(string), link)
	var staff string
	require.NoError(t, s.db.NewRaw("SELECT id FROM staff WHERE username = 'eva'").Scan(t.Context(), &staff))
	s.record("InviteStaff-mailed", "invite-staff:"+staff)
	resp, err := http.PostForm(link, url.Values{"password": {"correct horse"}})
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusOK, resp.StatusCode)
	var identifier string
	require.NoError(
		t,
		s.db.NewRaw("SELECT identifier FROM companies WHERE id = ?", company).Scan(t.Context(), &identifier),
	)
	_, login := s.call(http.MethodPost, s.url+"/api/v3/api-token-auth/", "", "", map[string]any{
		"username": "eva", "password": "correct horse", "company": identifier,
	})
	token := "Token " + login.(map[string]any)["token"].(string)
	_, shown := s.call(http.MethodGet, eva["resource_uri"].(string), "Authorization", token, nil)
	require.Equal(t, "confirmed", shown.(map[string]any)["status"])

	create("max")
	require.Contains(t, text(<-box.mails), "max@mail.test")
	require.Empty(t, box.mails, "one mail for each user")
}
