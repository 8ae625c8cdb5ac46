package console_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"greenroom/api"
	"greenroom/api/apitest"
	"greenroom/api/console"
	"greenroom/db"
	"greenroom/db/catalog"
	"greenroom/db/delivery"
	"greenroom/db/pg"
)

// bundle is an API with rows of the first company, and a visitor.
type bundle struct {
	*apitest.Bundle
	t *testing.T
	// The first company's rows. Each has the marker in a text.
	webhook, event, delivery, failed, replay, interview, custom string
}

func setup(t *testing.T, change ...func(*api.Options)) *bundle {
	t.Helper()
	b := &bundle{t: t}
	b.Bundle = apitest.Setup(t, append([]func(*api.Options){func(o *api.Options) {
		o.ReplaysPerSecond = 50
		o.Logger = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelError}))
		o.Console = console.Options{
			TemporalUI: "http://temporal.test", TemporalNamespace: "default", Version: "test",
			Settings: []console.Setting{{Name: "log.level", Value: "info", Origin: "default"}},
			Examine: func(context.Context) []console.Finding {
				return []console.Finding{
					{"database", "problem", "it does not answer", "start it"},
					{"clock", "ok", "it is right", ""},
				}
			},
		}
	}}, change...)...)
	return b
}

func (b *bundle) plant() *bundle {
	b.t.Helper()
	id := func(r apitest.Response, status int) string {
		b.t.Helper()
		return r.Is(status)["data"].(apitest.Object)["id"].(string)
	}
	type object = apitest.Object
	hook := object{"url": "https://acme.example/hooks", "name": apitest.Marker, "events": []string{"interview.started"}}
	b.webhook = id(b.Do("POST", "/webhooks", hook), 201)
	publish := object{"type": "interview.started", "data": object{"note": apitest.Marker}}
	b.event = id(b.Do("POST", "/events", publish), 202)
	b.delivery = b.deliveryOf(b.event)
	b.failed = b.deliveryOf(id(b.Do("POST", "/events", publish), 202))
	b.record(b.failed, delivery.OutcomeFailed, 503)
	b.replay = id(b.Do("POST", "/webhooks/"+b.webhook+"/replays", object{"since": time.Now().Add(-time.Hour)}), 202)
	b.custom = "order.shipped"
	b.Do("POST", "/event-types", object{"name": b.custom, "description": apitest.Marker, "schema": object{}}).Is(201)
	candidate := id(b.Do("POST", "/candidates", object{"firstName": "Ada", "lastName": "Byron"}), 201)
	agent := id(
		b.Do("POST", "/agents", object{"name": "A", "type": "ONLINE", "focus": "GENERIC", "questions": []string{"Why?"}}),
		201,
	)
	b.interview = id(b.Do("POST", "/interviews", object{"candidateId": candidate, "agentId": agent}), 201)
	_, err := b.ExecContext(b.Ctx, "UPDATE interviews SET status_reason = ? WHERE id = ?", apitest.Marker, b.interview)
	require.NoError(b.t, err)
	return b
}

// run runs a subtest, which the bundle's and its visitors' failures belong to.
func (b *bundle) run(name string, test func(t *testing.T)) {
	outer := b.t
	defer func() { b.t = outer }()
	outer.Run(name, func(t *testing.T) {
		b.t, b.T = t, t
		defer func() { b.T = outer }()
		test(t)
	})
}

func (b *bundle) deliveryOf(event string) (id string) {
	b.t.Helper()
	require.NoError(b.t, b.NewRaw("SELECT id FROM deliveries WHERE event_id = ?", event).Scan(b.Ctx, &id))
	return id
}

// record stores an attempt at a delivery.
func (b *bundle) record(id string, outcome delivery.Outcome, status int) {
	b.t.Helper()
	var reason *string
	if outcome != delivery.OutcomeSucceeded {
		text := apitest.Marker
		reason = &text
	}
	_, err := delivery.RecordAttempt(b.Ctx, b, delivery.AttemptRecord{
		WebhookID: uuid.MustParse(b.webhook), Body: []byte(`{"note":"` + apitest.Marker + `"}`), Counts: true, Threshold: 10,
		Attempt: delivery.Attempt{
			DeliveryID: uuid.MustParse(id), RunID: uuid.New(), Attempt: 1, WorkflowID: "delivery:" + id + ":0",
			StartedAt: time.Now(), DurationMS: 12, Outcome: outcome, StatusCode: &status, Error: reason,
		},
	})
	require.NoError(b.t, err)
}

// openCircuit opens the webhook's circuit, with a delivery that waits behind it.
func (b *bundle) openCircuit() {
	b.t.Helper()
	_, err := b.ExecContext(
		b.Ctx,
		`UPDATE webhooks SET circuit_opened_at = now(), consecutive_failures = 10 WHERE id = ?`,
		b.webhook,
	)
	require.NoError(b.t, err)
	_, err = b.ExecContext(b.Ctx, `UPDATE deliveries SET status = 'paused' WHERE id = ?`, b.delivery)
	require.NoError(b.t, err)
}

// visitor is a browser's session.
type visitor struct {
	b      *bundle
	cookie *http.Cookie
}

// answer is the answer to a visitor.
type answer struct {
	t    *testing.T
	code int
	head http.Header
	body string
}

func (a answer) is(code int) answer {
	a.t.Helper()
	require.Equal(a.t, code, a.code, a.body)
	return a
}

func (a answer) has(texts ...string) answer {
	a.t.Helper()
	for _, text := range texts {
		require.Contains(a.t, a.body, text)
	}
	return a
}

func (a answer) hasNot(text string) answer {
	a.t.Helper()
	require.NotContains(a.t, a.body, text)
	return a
}

func (a answer) leadsTo(path string) answer {
	a.t.Helper()
	a.is(http.StatusSeeOther)
	require.Equal(a.t, path, a.head.Get("Location"))
	return a
}

// send sends a form, or nothing, as a browser does.
func (v *visitor) send(method, path string, form url.Values, headers ...string) answer {
	v.b.t.Helper()
	req := httptest.NewRequestWithContext(v.b.Ctx, method, path, strings.NewReader(form.Encode()))
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	if v.cookie != nil {
		req.AddCookie(v.cookie)
	}
	rec := httptest.NewRecorder()
	v.b.Handler.ServeHTTP(rec, req)
	for _, c := range rec.Result().Cookies() {
		v.cookie = c
		if c.MaxAge < 0 {
			v.cookie = nil
		}
	}
	return answer{v.b.t, rec.Code, rec.Header(), rec.Body.String()}
}

func (v *visitor) get(path string) answer {
	v.b.t.Helper()
	return v.send(http.MethodGet, path, nil)
}

func (v *visitor) post(path string, form url.Values) answer {
	v.b.t.Helper()
	if form == nil {
		form = url.Values{}
	}
	return v.send(http.MethodPost, path, form)
}

// signedIn is a visitor with a session of the key.
func (b *bundle) signedIn(key string) *visitor {
	b.t.Helper()
	v := &visitor{b: b}
	v.post("/console/sign-in", url.Values{"key": {key}}).leadsTo("/console")
	require.NotNil(b.t, v.cookie)
	return v
}

// link makes a one-time link with a key.
func (b *bundle) link(key *db.APIKey, life time.Duration) string {
	b.t.Helper()
	token, err := db.CreateConsoleLink(b.Ctx, b, key.Hash, life)
	require.NoError(b.t, err)
	return "/console/enter/" + token
}

func (b *bundle) inTx(fn func(ctx context.Context, tx bun.Tx) error) {
	b.t.Helper()
	require.NoError(b.t, pg.InTx(b.Ctx, b, fn))
}

// started is the type of the planted events.
const started = catalog.InterviewStarted
