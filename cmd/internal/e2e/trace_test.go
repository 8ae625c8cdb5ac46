package e2e_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"path"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/sdk/worker"

	"greenroom/activities/webhook"
	"greenroom/cmd/internal/config"
	"greenroom/cmd/internal/service"
	"greenroom/db/pg"
	"greenroom/workflows"
)

func propagate(c *config.Config) { c.Tracing.Propagate = true }

// traceHeaders are those of a request with a sampled trace of the caller's own.
const (
	callersTrace = "4bf92f3577b34da6a3ce929d0e0e4736"
	callersSpan  = "00f067aa0ba902b7"
)

// publishTraced publishes one event as a part of a caller's trace, and returns its request id.
func (s *system) publishTraced(flags string) (requestID string) {
	s.t.Helper()
	body := strings.NewReader(`{"type": "interview.started", "data": {"interviewId": "42"}}`)
	req, err := http.NewRequest(http.MethodPost, s.url+"/events", body)
	require.NoError(s.t, err)
	req.Header.Set("Authorization", "Bearer "+s.key)
	req.Header.Set("Traceparent", "00-"+callersTrace+"-"+callersSpan+"-"+flags)
	req.Header.Set("Tracestate", "vendor=1")
	resp, err := http.DefaultClient.Do(req)
	require.NoError(s.t, err)
	defer resp.Body.Close()
	require.Equal(s.t, http.StatusAccepted, resp.StatusCode)
	return resp.Header.Get("X-Request-Id")
}

// storedTraces counts the events and commands, and those of them that have a trace.
func (s *system) storedTraces() (events, traced int) {
	s.t.Helper()
	require.NoError(s.t, s.db.NewRaw("SELECT count(*), count(trace_context) FROM events").
		Scan(s.t.Context(), &events, &traced))
	return events, traced
}

// TestATraceOfARetriedDelivery: from the request that published the event to the answer of its second attempt, which
// another worker makes.
func TestATraceOfARetriedDelivery(t *testing.T) {
	spans, traced := collect(t)
	s := prepare(t, eachAlone, traced, propagate)
	log := &lines{}
	s.cfg.Log.Format = config.LogJSON
	s.log = service.Logger(s.cfg, log)
	d, err := service.OpenDB(t.Context(), s.cfg) // a pool whose statements are traced
	require.NoError(t, err)
	t.Cleanup(func() { _ = pg.Close(d) })
	s.db = d
	stopAPI := s.serve()
	stop := s.work()
	r := listen(t, func(n int, _ received) (int, http.Header) {
		return map[bool]int{true: http.StatusInternalServerError, false: http.StatusOK}[n == 1], nil
	})
	w := s.webhook(r, "instaview", 5)
	s.publish("interview.started", 1)
	s.eventually(func() bool { return s.statuses(w["id"])["retrying"] == 1 }, "the first attempt fails")
	stop()
	stop = s.work()
	s.eventually(func() bool { return s.statuses(w["id"])["succeeded"] == 1 }, "the second succeeds")
	s.workflowEnds("delivery:" + r.all()[0].ID() + ":0")
	stop() // sends the last spans
	stopAPI()

	publish := spans.trace("").named("publish interview.started").one(t)
	trace := spans.trace(publish.Trace)
	trace.requireWhole(t)
	request := trace.named("POST /events").one(t)
	require.Equal(t, tracepb.Span_SPAN_KIND_SERVER, request.Kind)
	require.Empty(t, request.Parent)
	require.EqualValues(t, http.StatusAccepted, request.Attributes["http.response.status_code"])
	require.Equal(t, "/events", request.Attributes["http.route"])
	registered := spans.trace("").named("POST /webhooks").one(t) // whose key the API did not know yet
	statements := spans.trace(registered.Trace).below(registered)
	require.NotEmpty(t, statements.named("SELECT api_keys"), "%v", statements.names())

	require.Equal(t, request.ID, publish.Parent)
	require.Equal(t, tracepb.Span_SPAN_KIND_PRODUCER, publish.Kind)
	require.NotEmpty(t, trace.below(publish).named("INSERT events"), "the commit; %v", trace.names())
	started := trace.below(publish).named("StartWorkflow:DeliverWebhook").one(t)
	runs := trace.below(started).named("RunActivity:AttemptDelivery")
	require.Len(t, runs, 2)
	attempts := trace.attempts()
	require.Len(t, attempts, 2)
	got := r.all()
	verifyInstaview(t, w, got)
	for i, a := range attempts {
		require.Contains(t, []string{runs[0].ID, runs[1].ID}, a.Parent)
		require.Equal(t, w["id"], a.Attributes["greenroom.webhook.id"])
		require.Equal(t, got[i].ID(), a.Attributes["greenroom.delivery.id"])
		require.Equal(t, publish.Attributes["messaging.message.id"], a.Attributes["greenroom.event.id"])
		require.EqualValues(t, i+1, a.Attributes["greenroom.attempt"])
		require.EqualValues(t, got[i].Status, a.Attributes["http.response.status_code"])
		require.Equal(t, "127.0.0.1", a.Attributes["server.address"])
		require.Equal(t, "00-"+a.Trace+"-"+a.ID+"-01", got[i].Header.Get("Traceparent"), "of its own attempt")
	}
	require.NotEqual(t, attempts[0].Parent, attempts[1].Parent)
	require.Equal(t, "500", attempts[0].Attributes["error.type"])
	require.Equal(t, "retry", attempts[0].Attributes["greenroom.outcome"])
	require.NotEmpty(t, attempts[0].Failed)
	require.Equal(t, "succeeded", attempts[1].Attributes["greenroom.outcome"])
	require.Empty(t, attempts[1].Failed)
	for _, span := range spans.trace("") {
		require.NotContains(t, fmt.Sprint(span), s.key)
		require.NotContains(t, fmt.Sprint(span), w["signingSecret"])
	}
	requireJoined(t, log.String(), publish, attempts)
	s.replayUntraced("delivery:" + got[0].ID() + ":0")
}

func verifyInstaview(t *testing.T, w map[string]any, got []received) {
	t.Helper()
	secret, err := hex.DecodeString(w["signingSecret"].(string))
	require.NoError(t, err)
	verifier, err := standardwebhooks.NewWebhook(webhook.SecretWhsec(secret))
	require.NoError(t, err)
	for _, r := range got {
		require.NoError(t, verifier.Verify(r.Raw, r.Header))
	}
}

// requireJoined requires that the lines of the request and of its attempts name each other, and the trace.
func requireJoined(t *testing.T, log string, publish span, attempts tree) {
	t.Helper()
	var request map[string]any
	made := 0
	for line := range strings.Lines(log) {
		var l map[string]any
		require.NoError(t, json.Unmarshal([]byte(line), &l), line)
		require.NotContains(t, []any{"/healthz", "/readyz", "/metrics"}, l["route"])
		switch {
		case l["msg"] == "request" && l["route"] == "/events":
			request = l
			require.Equal(t, publish.Trace, l["trace_id"])
			require.Equal(t, publish.Attributes["messaging.message.id"], l["event_id"])
			require.EqualValues(t, 1, l["events"])
			require.EqualValues(t, 1, l["deliveries"])
		case l["msg"] == "attempt":
			require.NotNil(t, request)
			require.Equal(t, request["request_id"], l["request_id"])
			require.Equal(t, request["event_id"], l["event_id"])
			require.Equal(t, publish.Trace, l["trace_id"])
			require.Equal(t, attempts[made].ID, l["span_id"])
			made++
		}
	}
	require.Equal(t, len(attempts), made)
}

// replayUntraced proves that a worker without tracing continues a traced workflow.
func (s *system) replayUntraced(id string) {
	s.t.Helper()
	history := &historypb.History{}
	events := s.temporal().
		GetWorkflowHistory(s.t.Context(), id, "", false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		e, err := events.Next()
		require.NoError(s.t, err)
		history.Events = append(history.Events, e)
	}
	require.NotEmpty(s.t, history.Events[0].GetWorkflowExecutionStartedEventAttributes().Header.GetFields())
	r := worker.NewWorkflowReplayer()
	workflows.Register(r)
	require.NoError(s.t, r.ReplayWorkflowHistory(nil, history))
}

// TestATraceThroughAStream: a first attempt without a workflow of its own is a part of its event's trace, and so is the
// second, in the delivery's own workflow.
func TestATraceThroughAStream(t *testing.T) {
	const total = 42
	spans, traced := collect(t)
	s := prepare(t, inBatches, traced)
	s.serve()
	stop := s.work()
	r := listen(t, refuseSome(5))
	w := s.webhook(r, "instaview", 5)
	s.stream()
	s.publishSteadily(total - 2)
	s.arriveOnce(r, w["id"], total)
	for _, d := range s.delivered(w["id"]) {
		if d.Attempts == 2 {
			s.workflowEnds(d.WorkflowID)
		}
	}
	stop()
	for _, got := range r.all() {
		require.Empty(t, got.Header.Get("Traceparent"), "receivers get none unless they are to")
	}
	retried := 0
	for _, d := range s.delivered(w["id"]) {
		if !d.byStream() || d.Attempts != 2 {
			continue
		}
		retried++
		var attempts tree
		for _, a := range spans.trace("").attempts() {
			if a.Attributes["greenroom.delivery.id"] == d.ID.String() {
				attempts = append(attempts, a)
			}
		}
		require.Len(t, attempts, 2)
		require.Equal(t, attempts[0].Trace, attempts[1].Trace)
		trace := spans.trace(attempts[0].Trace)
		s.eventually(func() bool {
			trace = spans.trace(attempts[0].Trace)
			return len(trace.named("publish interview.started")) == 1
		}, "the API sends its spans")
		publish := trace.named("publish interview.started").one(t)
		require.Equal(t, publish.ID, attempts[0].Parent, "the stream has no trace of its own")
		run := trace.named("RunActivity:AttemptDelivery")
		require.NotEmpty(t, run)
		found := false
		for _, a := range run {
			if a.ID == attempts[1].Parent {
				found = true
				started := trace.named("StartWorkflow:DeliverWebhook")
				require.Contains(t, started.names(), "StartWorkflow:DeliverWebhook")
				require.NotEmpty(t, tree{a}.below(parentIn(t, started, a)))
				require.Equal(t, publish.ID, parentIn(t, started, a).Parent)
			}
		}
		require.True(t, found, "the second attempt is below its activity")
	}
	require.Positive(t, retried)
	require.Empty(t, spans.trace("").named("RunActivity:AttemptStream"))
}

func parentIn(t *testing.T, spans tree, s span) span {
	t.Helper()
	for _, p := range spans {
		if p.ID == s.Parent {
			return p
		}
	}
	require.FailNow(t, "no parent", s.Name)
	return span{}
}

// TestATraceThroughAnInterview: what its workflow does by itself, later, belongs to the request that scheduled it.
func TestATraceThroughAnInterview(t *testing.T) {
	spans, traced := collect(t)
	s := prepare(t, eachAlone, traced, func(c *config.Config) { c.Interview.InvitationDeadline = time.Second })
	log := &lines{}
	s.log = service.Logger(s.cfg, log)
	s.serve()
	stop := s.work()
	r := listen(t, nil)
	w := s.webhook(r, "standard", "interview.scheduled", "interview.failed")
	id := s.interview("ONLINE", "+421900000100")
	invite := s.must(http.MethodGet, "/interviews/"+id, nil)["inviteUrl"].(string)
	require.Less(t, s.do(http.MethodGet, invite[len(s.url):], nil).Status, 500)
	s.eventually(func() bool { return s.statuses(w["id"])["succeeded"] == 2 }, "it is scheduled, and fails")
	s.workflowEnds("interview:" + id)
	for _, got := range r.all() {
		s.workflowEnds("delivery:" + got.ID() + ":0")
	}
	stop()
	s.eventually(func() bool { return len(spans.trace("").named("POST /interviews")) == 1 }, "the API sends its spans")
	request := spans.trace("").named("POST /interviews").one(t)
	require.Regexp(
		t,
		`msg=request .*route=/interviews status=201 .*event_id=\S+ events=2 deliveries=1 trace_id=`+request.Trace,
		log.String(),
	)
	trace := spans.trace(request.Trace)
	scheduled := trace.below(request).named("publish interview.scheduled").one(t)
	require.NotEmpty(t, trace.below(scheduled).named("StartWorkflow:DeliverWebhook"))
	interview := trace.below(request).named("SignalWithStartWorkflow:Interview").one(t)
	failed := trace.named("publish interview.failed").one(t)
	require.Equal(t, interview.ID, parentIn(t, trace, parentIn(t, trace, failed)).ID, "an activity of the workflow")
	require.NotEmpty(t, trace.below(failed).named("StartWorkflow:DeliverWebhook"))
	attempts := trace.attempts()
	require.Len(t, attempts, 2)
	require.Equal(t, r.all()[0].ID(), attempts[0].Attributes["greenroom.delivery.id"])
	trace.requireWhole(t)
	for _, span := range spans.trace("") {
		require.NotContains(t, fmt.Sprint(span), path.Base(invite), "the token of a candidate's link")
		for _, private := range []string{"url.path", "url.full", "client.address", "db.query.text"} {
			require.NotContains(t, span.Attributes, private)
		}
	}
}

// TestNothingIsTracedThatIsNotSampled: no span, no column and no header, whatever a caller says.
func TestNothingIsTracedThatIsNotSampled(t *testing.T) {
	for name, tt := range map[string]struct {
		mod   func(*config.Config)
		flags string // of the caller's trace
	}{
		"off":                        {func(c *config.Config) { c.Tracing.Endpoint = "" }, "01"},
		"ratio_0":                    {func(c *config.Config) { c.Tracing.SampleRatio = 0 }, "01"},
		"the_caller_does_not_sample": {func(*config.Config) {}, "00"},
	} {
		t.Run(name, func(t *testing.T) {
			spans, traced := collect(t)
			s := prepare(t, traced, propagate, tt.mod)
			stopAPI, stop := s.serve(), s.work()
			r := listen(t, nil)
			var w map[string]any
			require.NoError(t, json.Unmarshal(s.untraced(http.MethodPost, "/webhooks", tt.flags, map[string]any{
				"url": r.URL, "events": []any{"interview.started"}, "profile": "standard",
			}), &w))
			id := s.publishTraced(tt.flags)
			s.eventually(func() bool { return s.statuses(w["id"])["succeeded"] == 1 }, "it arrives")
			stop()
			stopAPI()
			for _, got := range r.all() {
				require.Empty(t, got.Header.Get("Traceparent"))
				require.Empty(t, got.Header.Get("Tracestate"))
			}
			events, stored := s.storedTraces()
			require.Equal(t, 1, events)
			require.Zero(t, stored)
			require.Empty(t, spans.trace(""))
			var request string
			require.NoError(t, s.db.NewRaw("SELECT request_id FROM events").Scan(t.Context(), &request))
			require.Equal(t, id, request, "logs are joined without traces")
		})
	}
}

// untraced is a call with a trace of the caller's; it returns the data.
func (s *system) untraced(method, path, flags string, body any) json.RawMessage {
	s.t.Helper()
	raw, err := json.Marshal(body)
	require.NoError(s.t, err)
	req, err := http.NewRequest(method, s.url+path, bytes.NewReader(raw))
	require.NoError(s.t, err)
	req.Header.Set("Authorization", "Bearer "+s.key)
	req.Header.Set("Traceparent", "00-"+callersTrace+"-"+callersSpan+"-"+flags)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(s.t, err)
	defer resp.Body.Close()
	var a answer
	require.NoError(s.t, json.NewDecoder(resp.Body).Decode(&a))
	require.Less(s.t, resp.StatusCode, 300, "%+v", a.Error)
	return a.Data
}

// TestACallersTraceIsContinued to the receiver, with its tracestate.
func TestACallersTraceIsContinued(t *testing.T) {
	spans, traced := collect(t)
	s := setup(t, traced, propagate)
	r := listen(t, nil)
	w := s.webhook(r, "standard", "interview.started")
	s.publishTraced("01")
	s.eventually(func() bool { return s.statuses(w["id"])["succeeded"] == 1 }, "it arrives")
	s.eventually(func() bool {
		trace := spans.trace(callersTrace)
		return len(trace.attempts()) == 1 && len(trace.named("POST /events")) == 1
	}, "the spans arrive in the caller's trace")
	require.Equal(t, callersSpan, spans.trace(callersTrace).named("POST /events").one(t).Parent)
	attempt := spans.trace(callersTrace).attempts().one(t)
	require.Equal(t, "00-"+callersTrace+"-"+attempt.ID+"-01", r.all()[0].Header.Get("Traceparent"))
	require.Equal(t, "vendor=1", r.all()[0].Header.Get("Tracestate"))
}
