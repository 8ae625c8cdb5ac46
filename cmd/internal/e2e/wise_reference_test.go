package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"greenroom/activities/webhook/profiles"
	"greenroom/workflows"
)

// tutoring is the system in the test of one row of the reference of Wise, the tutoring platform.
type tutoring struct{ *system }

// hook registers a receiver for this row only.
func (s tutoring) hook(answer func(int, received) (int, http.Header), events ...any) (*receiver, map[string]any) {
	s.t.Helper()
	r := listen(s.t, answer)
	w := s.webhook(r, "wise", events...)
	s.t.Cleanup(func() { s.must(http.MethodDelete, "/webhooks/"+w["id"].(string), nil) })
	return r, w
}

// test makes a test call.
func (s tutoring) test(hook map[string]any) map[string]any {
	s.t.Helper()
	return s.must(http.MethodPost, "/webhooks/"+hook["id"].(string)+"/test", nil)
}

// sample returns the sample payload of a type from its contract.
func (s tutoring) sample(event string) json.RawMessage {
	s.t.Helper()
	one, found := profiles.SampleOf(event)
	require.True(s.t, found, event)
	return one.Data
}

// publishUpstream publishes an event as its upstream does.
func (s tutoring) publishUpstream(event string, payload any) map[string]any {
	s.t.Helper()
	return s.must(http.MethodPost, "/events", map[string]any{"type": event, "data": payload})
}

// one waits for the first POST of a receiver and returns its body.
func (s tutoring) one(r *receiver) (body map[string]any) {
	s.t.Helper()
	s.eventually(func() bool { return r.count() > 0 }, "it arrives")
	require.NoError(s.t, json.Unmarshal(r.all()[0].Raw, &body))
	return body
}

// delivery waits until the only delivery of a webhook has that many attempts, and returns it.
func (s *system) delivery(hook map[string]any, attempts int) (d map[string]any) {
	s.t.Helper()
	s.eventually(func() bool {
		list := s.deliveries(hook["id"])
		return len(list) == 1 && list[0]["attemptCount"] == float64(attempts) && list[0]["status"] != "pending"
	}, "attempt %d", attempts)
	return s.must(http.MethodGet, "/deliveries/"+s.deliveries(hook["id"])[0]["id"].(string), nil)
}

// wiseSchedule is the table of 2.1, in seconds after the event.
var wiseSchedule = []int{0, 60, 180, 420, 900, 1860, 3780, 7620, 15300}

// testWise runs each row on its own view of the system.
func testWise(t *testing.T, s *system, rows map[string]func(t *testing.T, s tutoring)) {
	t.Helper()
	for name, hold := range rows {
		t.Run(name, func(t *testing.T) {
			row := *s
			row.t = t
			hold(t, tutoring{&row})
		})
	}
}

// TestWiseReference checks the reference of Wise row by row: all of Part 1, and the parts of 2 and 3 about deliveries.
// Its API (2.5) does not register webhooks and is not implemented here.
func TestWiseReference(t *testing.T) {
	s := setup(t, simulate(t, false))
	testWise(t, s, map[string]func(t *testing.T, s tutoring){
		"part_1_a_subscribed_event_is_posted_with_a_payload": func(t *testing.T, s tutoring) {
			r, _ := s.hook(nil, "AttendanceComputedEvent")
			other, _ := s.hook(nil, "CertificateIssuedEvent")
			s.publishUpstream("AttendanceComputedEvent", s.sample("AttendanceComputedEvent"))
			s.one(r) // the receiver handles each POST independently
			require.Equal(t, "application/json", r.all()[0].Header.Get("Content-Type"))
			require.Zero(t, other.count(), "it is not subscribed to the event")
		},
		"part_1_events_and_a_url_are_chosen": func(t *testing.T, s tutoring) {
			_, w := s.hook(nil, "AttendanceComputedEvent", "FeeInvoiceChargedEvent")
			require.Equal(t, []any{"AttendanceComputedEvent", "FeeInvoiceChargedEvent"}, w["events"])
		},
		"part_1_there_are_19_events": func(t *testing.T, s tutoring) {
			require.Len(t, wiseEvents, 19)
			for _, e := range wiseEvents {
				require.Equal(
					t,
					strings.ReplaceAll(e.title, " ", "")+"Event",
					e.event,
					"Part 3, 2: as printed, misspelled where it is",
				)
			}
			for _, p := range s.must(http.MethodGet, "/profiles", nil)["data"].([]any) {
				if p := p.(map[string]any); p["name"] == "wise" {
					var names []string
					for _, e := range p["events"].([]any) {
						names = append(names, at(e, "name").(string))
					}
					for i, e := range wiseEvents {
						require.Equal(t, e.event, names[i])
					}
					require.Len(t, names, 19)
				}
			}
			for _, none := range []any{"interview.started", "ping", "SharingStartedInMeetingEvent", 0} {
				require.Equal(t, http.StatusBadRequest, s.do(http.MethodPost, "/webhooks", map[string]any{
					"url": "http://127.0.0.1:1/", "profile": "wise", "events": []any{none},
				}).Status, "%v", none)
			}
		},
		"part_1_200_is_success_and_nothing_else_is": func(t *testing.T, s tutoring) { // 2.1; Part 3, 1
			r, w := s.hook(nil, "AttendanceComputedEvent")
			require.Equal(t, true, s.test(w)["success"])
			for _, code := range []int{201, 202, 204, 206, 299, 301, 302, 304, 400, 401, 404, 429, 500, 503} {
				r.turn(status(code))
				got := s.test(w)
				require.Equal(t, false, got["success"], code)
				require.Contains(t, got["message"], strconv.Itoa(code))
			}
		},
		"part_1_a_test_reveals_the_key_that_a_header_carries": func(t *testing.T, s tutoring) { // 2.4; Part 3, 3
			r, w := s.hook(nil, "AttendanceComputedEvent")
			key := s.test(w)["authorizationKey"]
			require.Regexp(t, "^[0-9a-f]{64}$", key)
			r.turn(status(http.StatusUnauthorized)) // a receiver that does not know the key yet
			require.Equal(t, key, s.test(w)["authorizationKey"], "also after a failed test")
			require.NotContains(t, fmt.Sprint(s.must(http.MethodGet, "/webhooks/"+w["id"].(string), nil)), key)
			for _, got := range r.all() {
				require.Equal(t, []string{key.(string)}, got.Header["Authorization"], "bare, without a scheme")
			}
			_, second := s.hook(nil, "AttendanceComputedEvent")
			require.NotEqual(t, key, s.test(second)["authorizationKey"], "each webhook has its own")
			require.Equal(t, http.StatusBadRequest, s.do(http.MethodPatch, "/webhooks/"+w["id"].(string), map[string]any{
				"headers": []any{map[string]any{"name": "authorization", "value": "mine"}},
			}).Status, "only the platform may set it")
		},
		"part_3_several_subscriptions_with_names_urls_and_events": func(t *testing.T, s tutoring) { // Part 3, 5
			first, w := s.hook(nil, "AttendanceComputedEvent")
			second, _ := s.hook(nil, "AttendanceComputedEvent", "CertificateIssuedEvent")
			path := "/webhooks/" + w["id"].(string)
			require.Equal(
				t,
				"Webhook Subscription 1",
				s.must(http.MethodPatch, path, map[string]any{"name": "Webhook Subscription 1"})["name"],
			)
			s.publishUpstream("AttendanceComputedEvent", s.sample("AttendanceComputedEvent"))
			require.Equal(t, s.one(first), s.one(second))
			s.must(http.MethodPatch, path, map[string]any{"isActive": false})
			s.publishUpstream("AttendanceComputedEvent", s.sample("AttendanceComputedEvent"))
			s.eventually(func() bool { return second.count() == 2 }, "the enabled one gets the event")
			require.Equal(t, 1, first.count())
		},
	})
}

// TestWiseReferenceRetries checks 2.1.
func TestWiseReferenceRetries(t *testing.T) {
	s := setup(t)
	testWise(t, s, map[string]func(t *testing.T, s tutoring){
		"2.1_offsets_are_60_times_2_to_the_n_minus_1": func(t *testing.T, _ tutoring) {
			for n, seconds := range wiseSchedule {
				require.Equal(t, 60*(1<<n-1), seconds)
			}
		},
		"2.1_nine_runs_at_exact_offsets_from_the_event": func(t *testing.T, s tutoring) { // Part 3, 4
			r, w := s.hook(status(http.StatusInternalServerError), "AttendanceComputedEvent")
			event := s.publishUpstream("AttendanceComputedEvent", s.sample("AttendanceComputedEvent"))["id"].(string)
			d := s.delivery(w, 1)
			for run := 1; run < len(wiseSchedule); run++ {
				require.Equal(t, "retrying", d["status"])
				require.Equal(t, time.Duration(wiseSchedule[run])*time.Second, s.due(event), "run %d", run)
				// The event's time is moved back to the time when the run is due, and the run is made at once.
				s.exec("UPDATE events SET occurred_at = now() - make_interval(secs => ?) WHERE id = ?", wiseSchedule[run], event)
				s.wake(d)
				d = s.delivery(w, run+1)
			}
			require.Equal(t, "failed", d["status"])
			require.Nil(t, d["nextAttemptAt"], "no further run")
			require.Equal(t, 9, r.count())
			for _, got := range r.all() {
				require.Equal(t, string(r.all()[0].Raw), string(got.Raw), "Part 4: each run has the same body")
				require.Equal(t, r.all()[0].ID(), got.ID())
				require.Equal(t, r.all()[0].Header["Authorization"], got.Header["Authorization"])
			}
		},
		"2.1_no_answer_within_5_seconds_is_a_failure": func(t *testing.T, s tutoring) {
			release := make(chan struct{})
			_, hanging := s.hook(
				func(int, received) (int, http.Header) { <-release; return http.StatusOK, nil },
				"CertificateIssuedEvent",
			)
			t.Cleanup(func() { close(release) }) // before the receiver is closed, which waits for its calls
			_, slow := s.hook(func(int, received) (int, http.Header) {
				time.Sleep(2 * time.Second) // far below the limit, also on a busy machine
				return http.StatusOK, nil
			}, "CertificateIssuedEvent")
			require.EqualValues(t, 5000, hanging["timeoutMs"])
			s.publishUpstream("CertificateIssuedEvent", s.sample("CertificateIssuedEvent"))
			require.Equal(t, "succeeded", s.delivery(slow, 1)["status"])
			d := s.delivery(hanging, 1)
			require.Equal(t, "retrying", d["status"])
			require.Equal(t, "timeout", at(d, "attempts.0.errorKind"))
			require.InDelta(t, 5000, at(d, "attempts.0.durationMs"), 1000)
		},
	})
}

// wake makes a delivery's next attempt due now.
func (s *system) wake(delivery map[string]any) {
	s.t.Helper()
	id := workflows.DeliverWebhookWorkflowID(uuid.MustParse(delivery["id"].(string)), 0)
	require.NoError(s.t, s.temporal().SignalWorkflow(s.t.Context(), id, "", workflows.SignalWake, workflows.Wake{}))
}

// due returns the time from the event to its next attempt.
func (s tutoring) due(event string) time.Duration {
	s.t.Helper()
	var occurred, next time.Time
	require.NoError(
		s.t,
		s.db.NewRaw(`SELECT e.occurred_at, d.next_attempt_at
			FROM events e JOIN deliveries d ON d.event_id = e.id WHERE e.id = ?`,
			event).
			Scan(s.t.Context(), &occurred, &next),
	)
	return next.Sub(occurred)
}

func (s tutoring) exec(query string, args ...any) {
	s.t.Helper()
	_, err := s.db.ExecContext(s.t.Context(), query, args...)
	require.NoError(s.t, err)
}

// TestWise_basic: an upstream publishes with the credentials that Wise's clients send, HTTP Basic of user_id and api_key.
func TestWise_basic(t *testing.T) {
	s := setup(t)
	r := listen(t, nil)
	s.webhook(r, "wise", "CertificateIssuedEvent")
	one, found := profiles.SampleOf("CertificateIssuedEvent")
	require.True(t, found)
	body, err := json.Marshal(map[string]any{"type": "CertificateIssuedEvent", "data": one.Data})
	require.NoError(t, err)
	publish := func(password string) int {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+"/events", strings.NewReader(string(body)))
		require.NoError(t, err)
		req.SetBasicAuth("62f0c3b7e1a4d95b8c6f7a10", password)
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("X-Wise-Namespace", "acme")
		resp, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		return resp.StatusCode
	}
	require.Equal(t, http.StatusUnauthorized, publish(s.key+"x"))
	require.Equal(t, http.StatusAccepted, publish(s.key))
	s.eventually(func() bool { return r.count() == 1 }, "it arrives")
	require.Equal(t, "CertificateIssuedEvent", r.all()[0].Body.Event)
}
