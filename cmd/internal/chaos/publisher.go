package chaos

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"greenroom/cmd/internal/testbed"
	"greenroom/db/catalog"
)

const (
	// postLimit is the timeout of a request, for instance to a frozen API.
	postLimit = 10 * time.Second
	// repeatFor is how long a request with an Idempotency-Key is retried until it is accepted. The pauses double
	// from repeatFirst to repeatLast: constant retries would overload an API that has just
	// restarted.
	repeatFor   = 90 * time.Second
	repeatFirst = 300 * time.Millisecond
	repeatLast  = 10 * time.Second
	payload     = 400 // bytes of padding in an event
)

// publisher posts events to all API processes in turn, at a constant rate independent of the responses (open loop).
type publisher struct {
	urls   []string
	keys   []string // API key of the company of each receiver
	ledger *ledger
	http   *http.Client
	wait   sync.WaitGroup

	refused atomic.Int64 // responses other than 2xx
	failed  atomic.Int64 // requests without a response
}

func newPublisher(urls, keys []string, l *ledger) *publisher {
	return &publisher{urls: urls, keys: keys, ledger: l, http: &http.Client{
		Timeout: postLimit, Transport: &http.Transport{MaxIdleConnsPerHost: 100},
	}}
}

// run publishes until ctx ends. Requests in flight continue: done waits for them.
func (p *publisher) run(ctx context.Context, rate float64) {
	start := time.Now()
	for n := 0; ; n++ {
		if testbed.Sleep(ctx, time.Until(start.Add(time.Duration(float64(n)/rate*float64(time.Second))))) != nil {
			return
		}
		p.publish(context.WithoutCancel(ctx))
	}
}

func (p *publisher) done() { p.wait.Wait() }

// publish posts one event. An event with an Idempotency-Key is retried until it is accepted. The
// others are not, because a request without a response may have been stored.
func (p *publisher) publish(ctx context.Context) {
	seq, hook, keyed := p.ledger.add(len(p.keys))
	p.wait.Go(func() {
		deadline := time.Now().Add(repeatFor)
		pause := repeatFirst
		for try := 0; !p.post(ctx, seq, hook, keyed, seq+try) && keyed && time.Now().Before(deadline); try++ {
			_ = testbed.Sleep(ctx, pause)
			pause = min(2*pause, repeatLast)
		}
	})
}

// burst posts n events concurrently.
func (p *publisher) burst(ctx context.Context, n int) {
	for range n {
		p.publish(context.WithoutCancel(ctx))
	}
}

// post reports whether the event was accepted.
func (p *publisher) post(ctx context.Context, seq, hook int, keyed bool, api int) bool {
	body := fmt.Sprintf(
		`{"type":%q,"subject":"chaos:%d","data":{%s%d,"text":%q}}`,
		catalog.InterviewStarted,
		seq%chaosSubjects,
		sequenceKey,
		seq,
		strings.Repeat("x", payload),
	)
	req, err := http.NewRequestWithContext(
		ctx,
		http.MethodPost,
		p.urls[api%len(p.urls)]+"/events",
		strings.NewReader(body),
	)
	if err != nil {
		return false
	}
	req.Header.Set("Authorization", "Bearer "+p.keys[hook])
	req.Header.Set("Content-Type", "application/json")
	if keyed {
		req.Header.Set("Idempotency-Key", fmt.Sprintf("chaos-%d", seq))
	}
	resp, err := p.http.Do(req)
	if err != nil {
		p.failed.Add(1)
		return false
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		p.failed.Add(1)
		return false
	}
	id, ok := acceptedID(resp.StatusCode, answer)
	if !ok {
		p.refused.Add(1)
		return false
	}
	p.ledger.accept(seq, id)
	return true
}

func acceptedID(status int, answer []byte) (uuid.UUID, bool) {
	if status/100 != 2 {
		return uuid.Nil, false
	}
	var accepted struct{ Data struct{ ID uuid.UUID } }
	if json.NewDecoder(bytes.NewReader(answer)).Decode(&accepted) != nil {
		return uuid.Nil, false
	}
	return accepted.Data.ID, accepted.Data.ID != uuid.Nil
}
