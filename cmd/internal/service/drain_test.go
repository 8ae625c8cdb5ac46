package service_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"greenroom/cmd/internal/service"
)

// TestRollingUpdateDropsNoRequest replaces each API process twice while clients publish through a balancer that sends
// to ready processes only and looks four times a second, and counts what was stored.
func TestRollingUpdateDropsNoRequest(t *testing.T) {
	b := setup(t)
	b.cfg.HTTP.DrainDelay = 2 * time.Second
	key := b.keyFrom("127.0.0.1")
	_, err := b.db.ExecContext(t.Context(), "UPDATE api_keys SET rate_per_minute = 1000000, rate_per_hour = 1000000")
	require.NoError(t, err)
	p := &balancer{t: t}
	running := []*apiProcess{b.startAPI(), b.startAPI()}
	p.watch(running...)

	var stored atomic.Int64
	ctx, stop := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			for ctx.Err() == nil {
				if p.publish(key) {
					stored.Add(1)
				}
			}
		})
	}
	for round := range 4 {
		next := b.startAPI()
		p.watch(next)
		old := running[round%2]
		running[round%2] = next
		before := stored.Load()
		old.stop()
		require.NoError(t, <-old.ended)
		b.eventually(func() bool { return stored.Load() > before+20 })
	}
	stop()
	clients.Wait()
	var events int64
	require.NoError(
		t,
		b.db.NewRaw("SELECT count(*) FROM events WHERE type = 'interview.started'").Scan(t.Context(), &events),
	)
	require.Equal(t, stored.Load(), events, "each is stored once")
}

// TestStoppingAPIServesOn answers requests after it was told to stop, and is not ready.
func TestStoppingAPIServesOn(t *testing.T) {
	b := setup(t)
	b.cfg.HTTP.DrainDelay = time.Hour
	p := b.startAPI()
	b.eventually(func() bool { return b.ready(p.url) })
	p.stop()
	b.eventually(func() bool { return !b.ready(p.url) })
	resp, err := http.Get(p.url + "/healthz")
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusOK, resp.StatusCode)
	require.True(t, resp.Close, "the connection is not kept")
	p.abandon()
	require.Error(t, <-p.ended)
}

// apiProcess is an API as a process of its own has it.
type apiProcess struct {
	url           string
	stop, abandon func() // tell it to stop; close its listener
	ended         chan error
}

func (b *bundle) startAPI() *apiProcess {
	b.t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(b.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	p := &apiProcess{
		url: "http://" + ln.Addr().String(), stop: cancel, abandon: func() { _ = ln.Close() }, ended: make(chan error, 1),
	}
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		p.ended <- service.API(ctx, b.cfg, b.db, ln, slog.New(slog.DiscardHandler), nil)
	}()
	b.t.Cleanup(func() {
		cancel()
		_ = ln.Close()
		<-finished
	})
	return p
}

// balancer sends each request to one of the processes that were ready when it last looked.
type balancer struct {
	t     *testing.T
	next  atomic.Uint64
	mu    sync.Mutex
	ready []string
}

// watch looks at processes until the test ends, and returns once all of them are ready.
func (p *balancer) watch(processes ...*apiProcess) {
	p.t.Helper()
	for _, process := range processes {
		ready := make(chan struct{})
		once := sync.OnceFunc(func() { close(ready) })
		go func() {
			for p.t.Context().Err() == nil {
				resp, err := http.Get(process.url + "/readyz")
				up := err == nil && resp.StatusCode == http.StatusOK
				if err == nil {
					_ = resp.Body.Close()
				}
				p.set(process.url, up)
				if up {
					once()
				}
				time.Sleep(250 * time.Millisecond)
			}
		}()
		select {
		case <-ready:
		case <-time.After(wait):
			p.t.Fatal("a process does not get ready")
		}
	}
}

func (p *balancer) set(url string, up bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var ready []string
	for _, u := range p.ready {
		if u != url {
			ready = append(ready, u)
		}
	}
	if up {
		ready = append(ready, url)
	}
	p.ready = ready
}

// publish sends one event; anything but its acceptance fails the test.
func (p *balancer) publish(key string) (accepted bool) {
	p.mu.Lock()
	url := p.ready[p.next.Add(1)%uint64(len(p.ready))]
	p.mu.Unlock()
	req, err := http.NewRequest(
		http.MethodPost,
		url+"/events",
		strings.NewReader(`{"type":"interview.started","data":{}}`),
	)
	if err != nil {
		p.t.Error(err)
		return false
	}
	req.Header.Set("Authorization", "Bearer "+key)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		p.t.Error(err)
		return false
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusAccepted {
		p.t.Errorf("%s %s %v", resp.Status, body, err)
		return false
	}
	return true
}
