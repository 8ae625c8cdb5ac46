package e2e_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"mime/multipart"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"greenroom/activities/webhook/profiles"
	"greenroom/cmd/internal/admin"
	"greenroom/cmd/internal/service"
	"greenroom/db/seal"
)

// call calls a surface as its product's clients do, with its own header for the key. It returns the status and the
// decoded body.
func (s *system) call(method, url, header, key string, body any) (status int, answer any) {
	s.t.Helper()
	var rd io.Reader
	if body != nil {
		raw, err := json.Marshal(body)
		require.NoError(s.t, err)
		rd = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(s.t.Context(), method, url, rd)
	require.NoError(s.t, err)
	if header != "" {
		req.Header.Set(header, key)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	require.NoError(s.t, err)
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	require.NoError(s.t, err)
	if len(raw) > 0 {
		require.NoError(s.t, json.Unmarshal(raw, &answer), "%s %s: %d %s", method, url, resp.StatusCode, raw)
	}
	require.Less(s.t, resp.StatusCode, 300, "%s %s: %s", method, url, raw)
	return resp.StatusCode, answer
}

// bodies returns the decoded bodies of a receiver by their names in its contract.
func (rc *receiver) bodies(t *testing.T, name func(r received, body map[string]any) string) map[string]map[string]any {
	t.Helper()
	out := map[string]map[string]any{}
	for _, r := range rc.all() {
		var body map[string]any
		require.NoError(t, json.Unmarshal(r.Raw, &body), string(r.Raw))
		out[name(r, body)] = body
	}
	return out
}

func byEvent(_ received, body map[string]any) string { return fmt.Sprint(body["event"]) }

// TestOneInterviewInFiveContracts creates one interview through the positions API. Its candidate completes it and it is
// analysed. Receivers of five products get it in the format of their contract.
func TestOneInterviewInFiveContracts(t *testing.T) {
	s := setup(t, simulate(t, true))
	instaview, wiseway, suite, ai, wise := listen(t, nil), listen(t, nil), listen(t, nil), listen(t, nil), listen(t, nil)

	// Each product has its own way to register.
	s.webhook(instaview, "instaview", "interview.started", "INTERVIEW_COMPLETED", 0)
	_, made := s.call(http.MethodPost, s.url+"/api/app/webhooks", "x-api-key", s.key, map[string]any{
		"url":    wiseway.URL,
		"events": []string{"interview.started", "interview.completed", "candidate.invited", "position.created"},
	})
	waySecret := made.(map[string]any)["secret"].(string)
	s.registerSuite(suite, "project_changed", "candidate_changed")
	s.call(
		http.MethodPost,
		s.url+"/ai-interviews/settings/webhooks",
		"apiKey",
		s.key,
		map[string]any{"updateAll": true, "webhooks": map[string]any{
			"start":      map[string]any{"status": true, "url": ai.URL + "/start"},
			"submission": map[string]any{"status": true, "url": ai.URL + "/submission"},
			"auth":       map[string]any{"type": "basic", "basic": map[string]any{"username": "user", "password": "pass"}},
		}},
	)
	wiseHook := s.webhook(
		wise,
		"wise",
		"SessionsCreatedEvent",
		"MeetingStartedEvent",
		"MeetingEndedEvent",
		"ParticipantJoinedMeetingEvent",
	)

	// One interview.
	_, position := s.call(
		http.MethodPost,
		s.url+"/api/app/positions",
		"x-api-key",
		s.key,
		map[string]any{"title": "Platform engineer"},
	)
	positionID := position.(map[string]any)["id"].(string)
	_, invited := s.call(
		http.MethodPost,
		s.url+"/api/app/positions/"+positionID+"/candidates",
		"x-api-key",
		s.key,
		map[string]any{
			"firstName": "Grace", "lastName": "Hopper", "email": "grace@example.com",
		},
	)
	link := invited.(map[string]any)["inviteUrl"].(string)
	s.call(http.MethodPost, link+"/start", "", "", nil)
	s.call(
		http.MethodPost,
		link+"/submit",
		"",
		"",
		map[string]any{"answers": []any{map[string]any{"question": "Why?", "answer": "Because."}}},
	)

	s.eventually(func() bool {
		return instaview.count() == 3 && wiseway.count() == 4 && suite.count() == 4 && ai.count() == 2 && wise.count() == 4
	}, "all receivers get their events")

	t.Run("instaview", func(t *testing.T) {
		got := instaview.bodies(t, byEvent)
		for _, event := range []string{"interview.started", "interview.completed", "analysis.completed"} {
			require.Contains(t, got, event)
			require.NotEmpty(t, got[event]["deliveryId"])
			require.NotEmpty(t, got[event]["data"].(map[string]any)["interviewId"])
		}
	})
	t.Run("wiseway", func(t *testing.T) {
		got := wiseway.bodies(t, byEvent)
		for _, event := range []string{"position.created", "candidate.invited", "interview.started", "interview.completed"} {
			require.Contains(t, got, event)
			require.Equal(t, positionID, got[event]["data"].(map[string]any)["position"].(map[string]any)["id"], event)
		}
		require.Equal(
			t,
			"grace@example.com",
			got["interview.completed"]["data"].(map[string]any)["candidate"].(map[string]any)["email"],
		)
		for _, r := range wiseway.all() {
			requireWiseWaySignature(t, r, waySecret)
		}
	})
	t.Run("interview_suite", func(t *testing.T) {
		for _, r := range suite.all() {
			require.Equal(t, "interview suite webhook", r.Header.Get("User-Agent"))
			var body struct {
				Endpoint, Time, Event string
				Data                  map[string]string
			}
			require.NoError(t, json.Unmarshal(r.Raw, &body), string(r.Raw))
			require.True(t, strings.HasPrefix(body.Endpoint, suite.URL), body.Endpoint)
			require.Contains(t, []string{"created", "modified"}, body.Data["action"])
			for key, url := range body.Data {
				if key != "action" {
					s.call(http.MethodGet, url, "Authorization", "Token "+s.key, nil) // the URL must exist
				}
			}
		}
		got := suite.bodies(t, func(_ received, body map[string]any) string {
			return fmt.Sprint(body["event"], " ", body["data"].(map[string]any)["action"])
		})
		require.Contains(t, got, "project_changed created")
		require.Contains(t, got, "candidate_changed created")
		require.Contains(t, got, "candidate_changed modified")
	})
	t.Run("ai_interviews", func(t *testing.T) {
		got := ai.bodies(t, func(_ received, body map[string]any) string { return fmt.Sprint(body["invite_status"]) })
		require.Equal(t, "grace@example.com", got["Started"]["candidate_email"])
		require.Equal(t, "Platform engineer", got["Completed"]["ai_interview_name"])
		require.Equal(t, got["Started"]["response_id"], got["Completed"]["response_id"])
		for _, r := range ai.all() {
			require.Equal(t, "Basic dXNlcjpwYXNz", r.Header.Get("Authorization"))
		}
	})
	t.Run("wise", func(t *testing.T) {
		got := wise.bodies(t, byEvent)
		events := []string{
			"SessionsCreatedEvent", "MeetingStartedEvent", "MeetingEndedEvent", "ParticipantJoinedMeetingEvent",
		}
		for _, event := range events {
			require.Contains(t, got, event)
			require.Contains(t, got[event], "payload")
		}
		key := wise.all()[0].Header.Get("Authorization")
		require.NotEmpty(t, key)
		tested := s.must(http.MethodPost, fmt.Sprintf("/webhooks/%s/test", wiseHook["id"]), nil)
		require.Equal(t, key, tested["authorizationKey"], "a test call reveals the key")
	})
}

// operator returns an Admin on the system's database and the id of the company of the system's key.
func (s *system) operator() (operator *admin.Admin, company string) {
	s.t.Helper()
	box, err := seal.New(s.cfg.Keyset)
	require.NoError(s.t, err)
	operator = &admin.Admin{
		DB:       s.db,
		Box:      box,
		Secret:   s.cfg.Secret.Bytes(),
		CheckURL: service.CheckEgressURL(s.cfg),
	}
	return operator, s.must(http.MethodGet, "/companies", nil)["data"].([]any)[0].(map[string]any)["id"].(string)
}

// registerSuite registers a webhook as an operator: the interview suite has no API for it.
func (s *system) registerSuite(r *receiver, events ...string) {
	s.t.Helper()
	operator, company := s.operator()
	_, err := operator.CreateWebhook(s.t.Context(), admin.WebhookRequest{
		Company: company, Profile: "interview-suite", URL: r.URL, Events: events,
	})
	require.NoError(s.t, err)
}

// requireWiseWaySignature verifies a delivery as the profile documents: t=<unix>,v1=<hex HMAC of
// "<t>.<body>">.
func requireWiseWaySignature(t *testing.T, r received, secret string) {
	t.Helper()
	at, signature, found := strings.Cut(strings.TrimPrefix(r.Header.Get("X-Wiseway-Signature"), "t="), ",v1=")
	require.True(t, found, r.Header)
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(at + "."))
	mac.Write(r.Raw)
	require.Equal(t, hex.EncodeToString(mac.Sum(nil)), signature)
}

// invoice returns a fee with instalments as a payment system publishes it: the contract's sample with a list instead of
// one instalment.
func invoice(t *testing.T, instalments int) map[string]any {
	t.Helper()
	s, found := profiles.SampleOf("FeeInvoiceChargedEvent")
	require.True(t, found)
	var fee map[string]any
	require.NoError(t, json.Unmarshal(s.Data, &fee))
	transactions := make([]any, instalments)
	for i := range transactions {
		transactions[i] = maps.Clone(fee["transaction"].(map[string]any))
		transactions[i].(map[string]any)["note"] = fmt.Sprintf("Invoice for Installment %d", i)
	}
	delete(fee, "transaction")
	fee["transactions"] = transactions
	return fee
}

func TestWise(t *testing.T) {
	t.Run("a_fourth_instalment_sends_four_events", func(t *testing.T) {
		s := setup(t)
		r := listen(t, nil)
		s.webhook(r, "wise", "FeeInvoiceChargedEvent")
		s.must(http.MethodPost, "/events", map[string]any{"type": "FeeInvoiceChargedEvent", "data": invoice(t, 4)})
		s.eventually(func() bool { return r.count() == 4 }, "four events arrive")
		seen := map[string]bool{}
		for _, got := range r.all() {
			var body struct {
				Event   string
				Payload struct{ Transaction struct{ Note string } }
			}
			require.NoError(t, json.Unmarshal(got.Raw, &body))
			require.Equal(t, "FeeInvoiceChargedEvent", body.Event)
			seen[body.Payload.Transaction.Note] = true
		}
		require.Len(t, seen, 4, "one for each instalment")
	})
	t.Run("anything_but_200_is_tried_again_a_minute_after_the_event", func(t *testing.T) {
		s := setup(t)
		r := listen(t, status(http.StatusCreated))
		hook := s.webhook(r, "wise", "AttendanceComputedEvent")
		data := map[string]any{"session": map[string]any{
			"_id": "663a1c2b9d4f6e2b8a1c0d11", "classId": "663a1c2b9d4f6e2b8a1c0d12", "userId": "663a1c2b9d4f6e2b8a1c0d13",
		}}
		event := s.must(http.MethodPost, "/events", map[string]any{"type": "AttendanceComputedEvent", "data": data})
		s.eventually(func() bool { return s.statuses(hook["id"])["retrying"] == 1 }, "it waits for a retry")
		var occurred, next time.Time
		require.NoError(
			t,
			s.db.NewRaw(`SELECT e.occurred_at, d.next_attempt_at
				FROM events e JOIN deliveries d ON d.event_id = e.id WHERE e.id = ?`,
				event["id"]).
				Scan(t.Context(), &occurred, &next),
		)
		require.Equal(t, time.Minute, next.Sub(occurred))
	})
	t.Run("what_does_not_fit_its_schema_is_refused", func(t *testing.T) {
		s := setup(t)
		a := s.do(
			http.MethodPost,
			"/events",
			map[string]any{"type": "AttendanceComputedEvent", "data": map[string]any{"session": "today"}},
		)
		require.Equal(t, http.StatusUnprocessableEntity, a.Status)
	})
}

func TestCustomEventType(t *testing.T) {
	s := setup(t)
	r := listen(t, nil)
	s.must(http.MethodPost, "/event-types", map[string]any{"name": "offer.sent", "schema": map[string]any{
		"type":       "object",
		"required":   []string{"offerId"},
		"properties": map[string]any{"offerId": map[string]any{"type": "string"}},
	}})
	s.webhook(r, "standard", "offer.sent")
	require.Equal(t, http.StatusUnprocessableEntity,
		s.do(http.MethodPost, "/events", map[string]any{"type": "offer.sent", "data": map[string]any{"offerId": 7}}).Status)
	s.must(http.MethodPost, "/events", map[string]any{"type": "offer.sent", "data": map[string]any{"offerId": "7"}})
	s.eventually(func() bool { return r.count() == 1 }, "it arrives")
	require.Equal(t, "offer.sent", r.all()[0].Body.Type)
	require.Equal(t, "7", r.all()[0].Body.Data["offerId"])
}

// TestInterviewSuite logs a staff user in, who creates a project, uploads a video, rates it and writes a note. The
// receiver gets an event each time and reads the resource with the same token.
func TestInterviewSuite(t *testing.T) {
	s := setup(t)
	r := listen(t, nil)
	events := []string{"project_changed", "candidate_changed", "answervideo_changed", "rating_changed", "note_changed"}
	s.registerSuite(r, events...)
	operator, company := s.operator()
	user, err := operator.CreateStaff(
		t.Context(),
		admin.StaffRequest{Company: company, Username: "ada", Password: "correct horse", AccountType: "admin"},
	)
	require.NoError(t, err)
	_, login := s.call(http.MethodPost, s.url+"/api/v3/api-token-auth/", "", "", map[string]any{
		"username": "ada", "password": "correct horse", "company": user.CompanyIdentifier,
	})
	token := "Token " + login.(map[string]any)["token"].(string)
	create := func(url string, body map[string]any) string {
		t.Helper()
		_, made := s.call(http.MethodPost, url, "Authorization", token, body)
		return made.(map[string]any)["resource_uri"].(string)
	}
	number := s.must(http.MethodGet, "/companies/"+company, nil)["number"].(float64)
	project := create(
		fmt.Sprintf("%s/api/v3/companies/%.0f/projects/", s.url, number),
		map[string]any{"name": "Engineer", "maximum_score": 5},
	)
	question := create(project+"questions/", map[string]any{"text": "Why?"})
	candidate := create(
		project+"candidates/",
		map[string]any{"first_name": "Grace", "last_name": "Hopper", "email": "grace@example.com"},
	)
	video := s.upload(candidate+"answervideos/", token, question)
	create(candidate+"ratings/", map[string]any{"question": question, "value": 4})
	create(candidate+"notes/", map[string]any{"text": "Clear.", "answer": video, "shared": true})

	s.eventually(func() bool { return len(r.bodies(t, byEvent)) == len(events) }, "all five events arrive")
	got := r.bodies(t, byEvent)
	for _, event := range events {
		data := got[event]["data"].(map[string]any)
		require.Contains(t, []string{"created", "modified"}, data["action"], event)
		for key, url := range data {
			if key != "action" {
				_, found := s.call(http.MethodGet, url.(string), "Authorization", token, nil)
				require.Equal(t, url, found.(map[string]any)["resource_uri"], "%s of %s", key, event)
			}
		}
	}
	require.Equal(t, []string{"action", "answervideo", "candidate", "customer", "note", "project"},
		slices.Sorted(maps.Keys(got["note_changed"]["data"].(map[string]any))))
}

// upload sends a small video as the answer to a question and returns its URL.
func (s *system) upload(url, token, question string) string {
	s.t.Helper()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	require.NoError(s.t, form.WriteField("question", question))
	file, err := form.CreateFormFile("file", "answer.webm")
	require.NoError(s.t, err)
	_, err = file.Write(
		append([]byte{0x1A, 0x45, 0xDF, 0xA3, 0x9F, 0x42, 0x82, 0x84}, "webm and what follows"...),
	) // EBML's signature and document type
	require.NoError(s.t, err)
	require.NoError(s.t, form.Close())
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, url, &body)
	require.NoError(s.t, err)
	req.Header.Set("Authorization", token)
	req.Header.Set("Content-Type", form.FormDataContentType())
	resp, err := http.DefaultClient.Do(req)
	require.NoError(s.t, err)
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	require.NoError(s.t, err)
	require.Equal(s.t, http.StatusCreated, resp.StatusCode, string(raw))
	var made struct {
		URI string `json:"resource_uri"`
	}
	require.NoError(s.t, json.Unmarshal(raw, &made))
	return made.URI
}
