package wiseway_test

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"greenroom/activities/webhook"
	"greenroom/activities/webhook/profiles"
	"greenroom/api"
	"greenroom/api/apitest"
	"greenroom/db/delivery"
)

type object = apitest.Object

// bundle is an API, and what this surface's tests make with it.
type bundle struct {
	*apitest.Bundle
	client *webhook.Client
}

func setup(t *testing.T) *bundle {
	t.Helper()
	t.Parallel()
	client := webhook.NewClient(webhook.ClientOptions{AllowHTTP: true, AllowLoopback: true})
	return &bundle{apitest.Setup(t, func(o *api.Options) { o.CheckURL = client.CheckURL }), client}
}

const (
	positions = "/api/app/positions"
	webhooks  = "/api/app/webhooks"
)

func idOf(o object) string { return o["id"].(string) }

func with(body object, more ...object) object {
	for _, m := range more {
		maps.Copy(body, m)
	}
	return body
}

func (b *bundle) position(more ...object) object {
	b.T.Helper()
	return b.Do("POST", positions, with(object{"title": "Receptionist"}, more...)).Is(http.StatusCreated)
}

func candidatesOf(position object) string { return positions + "/" + idOf(position) + "/candidates" }

func ada(more ...object) object {
	return with(object{"firstName": "Ada", "lastName": "Byron", "email": "ada@example.com"}, more...)
}

func (b *bundle) invited(position object, more ...object) object {
	b.T.Helper()
	return b.Do("POST", candidatesOf(position), ada(more...)).Is(http.StatusCreated)
}

func (b *bundle) webhook(url string, events ...string) object {
	b.T.Helper()
	return b.Do("POST", webhooks, object{"url": url, "events": events}).Is(http.StatusCreated)
}

// items are the rows of a list.
func (b *bundle) items(path string) []object {
	b.T.Helper()
	var list struct{ Data []object }
	b.Do("GET", path, nil).Into(http.StatusOK, &list)
	return list.Data
}

// refused requires an error in this surface's form, and returns what it says.
func refused(r apitest.Response, status int, code string, field ...string) object {
	r.T.Helper()
	e := r.Is(status)["error"].(object)
	require.Equal(r.T, code, e["code"], "body: %s", r.Body)
	if len(field) > 0 {
		require.Equal(r.T, field[0], e["field"], "body: %s", r.Body)
	}
	return e
}

// events are the company's domain events in the order in which they were recorded.
func (b *bundle) events() []string {
	b.T.Helper()
	types := []string{}
	require.NoError(
		b.T,
		b.NewRaw("SELECT type FROM events WHERE company_id = ? ORDER BY id", b.Company).Scan(b.Ctx, &types),
	)
	return types
}

// sent are the names under which this product's webhooks get the events, oldest first.
func (b *bundle) sent() []string {
	b.T.Helper()
	p, err := profiles.ByName("wiseway")
	require.NoError(b.T, err)
	var types []string
	require.NoError(
		b.T,
		b.NewRaw(`SELECT e.type FROM deliveries d JOIN events e ON e.id = d.event_id JOIN webhooks w ON w.id = d.webhook_id
		WHERE w.profile = 'wiseway' ORDER BY e.id`).Scan(b.Ctx, &types),
	)
	names := []string{}
	for _, t := range types {
		names = append(names, p.NameOf(t))
	}
	return names
}

// rows counts all that a refused request could have left behind.
func (b *bundle) rows() map[string]int {
	b.T.Helper()
	counts := map[string]int{}
	for _, table := range []string{
		"jobs", "candidates", "candidate_jobs", "agents", "interviews", "webhooks", "events", "commands", "idempotency_keys",
	} {
		var n int
		require.NoError(b.T, b.NewRaw("SELECT count(*) FROM "+table).Scan(b.Ctx, &n))
		counts[table] = n
	}
	return counts
}

// leaves requires that fn leaves nothing behind.
func (b *bundle) leaves(fn func()) {
	b.T.Helper()
	before := b.rows()
	fn()
	require.Equal(b.T, before, b.rows(), "something was left behind")
}

// received is a delivery as it came.
type received struct {
	header http.Header
	body   []byte
}

func (r received) json(t *testing.T) (o object) {
	t.Helper()
	require.NoError(t, json.Unmarshal(r.body, &o))
	return o
}

// receiver is an endpoint that keeps what it gets.
func receiver(t *testing.T) (url string, got <-chan received) {
	t.Helper()
	all := make(chan received, 16)
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		all <- received{r.Header, body}
	}))
	t.Cleanup(s.Close)
	return s.URL + "/hook", all
}

// deliver sends what is due, over HTTP, as the worker does.
func (b *bundle) deliver() {
	b.T.Helper()
	var due []uuid.UUID
	require.NoError(b.T, b.NewRaw("DELETE FROM delivery_queue RETURNING delivery_id").Scan(b.Ctx, &due))
	for _, id := range due {
		job, err := delivery.LoadJob(b.Ctx, b, id, uuid.New(), 1)
		require.NoError(b.T, err)
		p, err := profiles.ByName(job.Webhook.Profile)
		require.NoError(b.T, err)
		m := webhook.Message{
			DeliveryID: id.String(),
			EventID:    job.Event.ID.String(),
			EventType:  job.Event.Type,
			EventName:  p.NameOf(job.Event.Type),
			OccurredAt: job.Event.OccurredAt,
			Data:       job.Event.Data,
			Endpoint:   job.Webhook.URL,
			BaseURL:    apitest.PublicURL,
		}
		require.NoError(b.T, json.Unmarshal(job.Event.Context, &m.Context))
		body, err := p.Render(m)
		require.NoError(b.T, err)
		secret, err := b.Box.Open(job.Webhook.Secret, job.Webhook.ID, delivery.SecretField)
		require.NoError(b.T, err)
		resp := b.client.Send(b.Ctx, webhook.Request{
			URL: job.Webhook.URL, Profile: p, Message: m, Body: body, Secrets: webhook.Secrets{secret},
		})
		require.Empty(b.T, resp.Error)
	}
}
