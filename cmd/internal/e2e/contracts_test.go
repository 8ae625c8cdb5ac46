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
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"greenroom/cmd/internal/admin"
	"greenroom/cmd/internal/service"
	"greenroom/db/seal"
)

// call calls a surface as its product's clients do: its own header for the key, its own answers. It returns the decoded body.
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

// bodies are what a receiver got, decoded, by what names them in its contract.
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

// TestOneInterviewInFiveContracts: one interview, made through the positions API, held by its candidate and analysed, is told to
// receivers of five products, each in its product's own words.
func TestOneInterviewInFiveContracts(t *testing.T) {
	s := setup(t, simulate(t, true))
	instaview, wiseway, suite, ai, wise := listen(t, nil), listen(t, nil), listen(t, nil), listen(t, nil), listen(t, nil)

	// Each product's way to register.
	s.webhook(instaview, "instaview", "interview.started", "INTERVIEW_COMPLETED", 0)
	_, made := s.call(http.MethodPost, s.url+"/api/app/webhooks", "x-api-key", s.key, map[string]any{
		"url": wiseway.URL, "events": []string{"interview.started", "interview.completed", "candidate.invited", "position.created"},
	})
	waySecret := made.(map[string]any)["secret"].(string)
	s.registerSuite(suite, "project_changed", "candidate_changed")
	s.call(http.MethodPost, s.url+"/ai-interviews/settings/webhooks", "apiKey", s.key, map[string]any{"updateAll": true, "webhooks": map[string]any{
		"start":      map[string]any{"status": true, "url": ai.URL + "/start"},
		"submission": map[string]any{"status": true, "url": ai.URL + "/submission"},
		"auth":       map[string]any{"type": "basic", "basic": map[string]any{"username": "user", "password": "pass"}},
	}})
	wiseHook := s.webhook(wise, "wise", "SessionsCreatedEvent", "MeetingStartedEvent", "MeetingEndedEvent", "ParticipantJoinedMeetingEvent")

	// One interview.
	_, position := s.call(http.MethodPost, s.url+"/api/app/positions", "x-api-key", s.key, map[string]any{"title": "Platform engineer"})
	positionID := position.(map[string]any)["id"].(string)
	_, invited := s.call(http.MethodPost, s.url+"/api/app/positions/"+positionID+"/candidates", "x-api-key", s.key, map[string]any{
		"firstName": "Grace", "lastName": "Hopper", "email": "grace@example.com",
	})
	link := invited.(map[string]any)["inviteUrl"].(string)
	s.call(http.MethodPost, link+"/start", "", "", nil)
	s.call(http.MethodPost, link+"/submit", "", "", map[string]any{"answers": []any{map[string]any{"question": "Why?", "answer": "Because."}}})

	s.eventually(func() bool {
		return instaview.count() == 3 && wiseway.count() == 4 && suite.count() == 3 && ai.count() == 2 && wise.count() == 4
	}, "all receivers are told")

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
		require.Equal(t, "grace@example.com", got["interview.completed"]["data"].(map[string]any)["candidate"].(map[string]any)["email"])
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
					s.call(http.MethodGet, url, "Authorization", "Token "+s.key, nil) // which resolves
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
		for _, event := range []string{"SessionsCreatedEvent", "MeetingStartedEvent", "MeetingEndedEvent", "ParticipantJoinedMeetingEvent"} {
			require.Contains(t, got, event)
			require.Contains(t, got[event], "payload")
		}
		key := wise.all()[0].Header.Get("Authorization")
		require.NotEmpty(t, key)
		tested := s.must(http.MethodPost, fmt.Sprintf("/webhooks/%s/test", wiseHook["id"]), nil)
		require.Equal(t, key, tested["authorizationKey"], "a test call reveals the key")
	})
}

// registerSuite registers a webhook as an operator does for a company: the interview suite has no self-service.
func (s *system) registerSuite(r *receiver, events ...string) {
	s.t.Helper()
	box, err := seal.New(s.cfg.Keyset)
	require.NoError(s.t, err)
	operator := &admin.Admin{DB: s.db, Box: box, Secret: s.cfg.Secret.Bytes(), CheckURL: service.EgressClient(s.cfg).CheckURL}
	company := s.must(http.MethodGet, "/companies", nil)["data"].([]any)[0].(map[string]any)["id"].(string)
	_, err = operator.CreateWebhook(s.t.Context(), admin.WebhookRequest{
		Company: company, Profile: "interview-suite", URL: r.URL, Events: events,
	})
	require.NoError(s.t, err)
}

// requireWiseWaySignature verifies a delivery by the recipe that the profile documents: t=<unix>,v1=<hex HMAC of "<t>.<body>">.
func requireWiseWaySignature(t *testing.T, r received, secret string) {
	t.Helper()
	at, signature, found := strings.Cut(strings.TrimPrefix(r.Header.Get("X-Wiseway-Signature"), "t="), ",v1=")
	require.True(t, found, r.Header)
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(at + "."))
	mac.Write(r.Raw)
	require.Equal(t, hex.EncodeToString(mac.Sum(nil)), signature)
}

// invoice is a fee's instalments as a payment system publishes them: the contract's sample, with a list in place of the one.
func invoice(t *testing.T, instalments int) map[string]any {
	t.Helper()
	raw, err := os.ReadFile("../../../activities/webhook/profiles/testdata/events/FeeInvoiceChargedEvent.json")
	require.NoError(t, err)
	var fee map[string]any
	require.NoError(t, json.Unmarshal(raw, &fee))
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
		s.eventually(func() bool { return s.statuses(hook["id"])["retrying"] == 1 }, "it is to be tried again")
		var occurred, next time.Time
		require.NoError(t, s.db.NewRaw(`SELECT e.occurred_at, d.next_attempt_at FROM events e JOIN deliveries d ON d.event_id = e.id WHERE e.id = ?`,
			event["id"]).Scan(t.Context(), &occurred, &next))
		require.Equal(t, time.Minute, next.Sub(occurred))
	})
	t.Run("what_does_not_fit_its_schema_is_refused", func(t *testing.T) {
		s := setup(t)
		a := s.do(http.MethodPost, "/events", map[string]any{"type": "AttendanceComputedEvent", "data": map[string]any{"session": "today"}})
		require.Equal(t, http.StatusUnprocessableEntity, a.Status)
	})
}

func TestCustomEventType(t *testing.T) {
	s := setup(t)
	r := listen(t, nil)
	s.must(http.MethodPost, "/event-types", map[string]any{"name": "offer.sent", "schema": map[string]any{
		"type": "object", "required": []string{"offerId"}, "properties": map[string]any{"offerId": map[string]any{"type": "string"}},
	}})
	s.webhook(r, "standard", "offer.sent")
	require.Equal(t, http.StatusUnprocessableEntity,
		s.do(http.MethodPost, "/events", map[string]any{"type": "offer.sent", "data": map[string]any{"offerId": 7}}).Status)
	s.must(http.MethodPost, "/events", map[string]any{"type": "offer.sent", "data": map[string]any{"offerId": "7"}})
	s.eventually(func() bool { return r.count() == 1 }, "it arrives")
	require.Equal(t, "offer.sent", r.all()[0].Body.Type)
	require.Equal(t, "7", r.all()[0].Body.Data["offerId"])
}
