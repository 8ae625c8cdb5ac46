package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"greenroom/activities/webhook/profiles"
	"greenroom/db/catalog"
	"greenroom/db/delivery"
)

const (
	// payloadBytes is the size of an event's data.
	payloadBytes = 512
	// publishers is the number of concurrent requests when a scenario publishes as fast as it can.
	publishers = 32
	postLimit  = 30 * time.Second
)

// apiClient calls the APIs in turn. All publishers share its connections.
type apiClient struct {
	urls  []string
	next  atomic.Uint64
	http  *http.Client
	keyed bool // each request has a new Idempotency-Key
	// subjects and ordered are as in scenario.
	subjects int
	ordered  bool
}

func newAPIClient(urls []string) *apiClient {
	return &apiClient{urls: urls, http: &http.Client{
		Timeout: postLimit, Transport: &http.Transport{MaxIdleConns: 0, MaxIdleConnsPerHost: 1000},
	}}
}

// post sends JSON. It returns an error with the start of the response unless the status is want.
func (c *apiClient) post(ctx context.Context, key, path string, body []byte, want int) error {
	url := c.urls[c.next.Add(1)%uint64(len(c.urls))]
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+key)
	req.Header.Set("Content-Type", "application/json")
	if c.keyed {
		req.Header.Set("Idempotency-Key", uuid.NewString())
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode == want {
		_, err = io.Copy(io.Discard, resp.Body)
		return err
	}
	answer, _ := io.ReadAll(io.LimitReader(resp.Body, 500)) // only for the message
	return fmt.Errorf("POST %s: %s: %s", path, resp.Status, answer)
}

// publish posts one event.
func (c *apiClient) publish(ctx context.Context, key string, phase, seq int) error {
	return c.post(ctx, key, "/events", c.eventBody(phase, seq), http.StatusAccepted)
}

// publishArray posts several events in one request.
func (c *apiClient) publishArray(ctx context.Context, key string, phase int, seqs []int) error {
	bodies := make([][]byte, len(seqs))
	for i, seq := range seqs {
		bodies[i] = c.eventBody(phase, seq)
	}
	body := append(append([]byte{'['}, bytes.Join(bodies, []byte{','})...), ']')
	return c.post(ctx, key, "/events", body, http.StatusAccepted)
}

// eventBody returns a request whose data has payloadBytes bytes.
func (c *apiClient) eventBody(phase, seq int) []byte {
	data := fmt.Sprintf(`{"phase":%d,"seq":%d,"text":"`, phase, seq)
	fill := strings.Repeat("x", payloadBytes-len(data)-len(`"}`))
	subject := ""
	if c.subjects > 0 {
		subject = fmt.Sprintf(`"subject":"bench:%d",`, seq%c.subjects)
	}
	return fmt.Appendf(nil, `{"type":%q,%s"data":%s%s"}}`, catalog.InterviewStarted, subject, data, fill)
}

// Filters of three conditions: of every event that is published, and of none.
const (
	filterOfAll  = `{"data": {"phase": {"$gte": 0}, "seq": {"$gte": 0}, "text": {"$startsWith": "x"}}}`
	filterOfNone = `{"data": {"phase": {"$gte": 0}, "seq": {"$gte": 0}, "text": {"$startsWith": "y"}}}`
)

// createWebhook registers an endpoint; filter "" is none.
func (c *apiClient) createWebhook(ctx context.Context, key, endpoint, filter string) error {
	hook := map[string]any{
		"url": endpoint, "events": []string{catalog.InterviewStarted}, "profile": profiles.Standard,
	}
	if filter != "" {
		hook["filter"] = json.RawMessage(filter)
	}
	if c.ordered {
		hook["ordering"] = delivery.BySubject
	}
	body, err := json.Marshal(hook)
	if err != nil {
		return err
	}
	return c.post(ctx, key, "/webhooks", body, http.StatusCreated)
}
