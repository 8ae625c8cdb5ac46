package chaos

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"greenroom/cmd/internal/testbed"
)

// mode is how a receiver behaves.
type mode int32

const (
	healthy   mode = iota
	failing        // 500
	hanging        // reads and never answers
	resetting      // closes the connection without an answer
	limiting       // 429 with Retry-After
	slow           // answers 200 after slowAnswer
)

// slowAnswer is within the time-out of the webhooks (attemptTimeout).
const slowAnswer = 2 * time.Second

// receiver is the endpoint of one webhook, on a port of its own.
type receiver struct {
	ledger *ledger
	addr   string
	mode   atomic.Int32

	mu     sync.Mutex
	server *http.Server // nil while it is down
}

func newReceiver(l *ledger) (*receiver, error) {
	r := &receiver{ledger: l, addr: "127.0.0.1:0"}
	return r, r.up(context.Background())
}

// up listens, on the same port as before.
func (r *receiver) up(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.server != nil {
		return nil
	}
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", r.addr)
	if err != nil {
		return fmt.Errorf("open a receiver: %w", err)
	}
	r.addr = ln.Addr().String()
	server := &http.Server{
		Handler:           http.HandlerFunc(r.serve),
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
	}
	r.server = server
	go func() { _ = server.Serve(ln) }() // ends with down
	return nil
}

// down refuses connections and cuts off those that are open.
func (r *receiver) down() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.server != nil {
		_ = r.server.Close()
		r.server = nil
	}
}

func (r *receiver) set(m mode) { r.mode.Store(int32(m)) }

func (r *receiver) url() string { return "http://" + r.addr + "/" }

func (r *receiver) serve(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return // cut off: no attempt
	}
	seq, id := sequence(body), req.Header.Get("webhook-id")
	switch mode(r.mode.Load()) {
	case failing:
		r.refuse(w, seq, id, http.StatusInternalServerError)
	case limiting:
		w.Header().Set("Retry-After", "2")
		r.refuse(w, seq, id, http.StatusTooManyRequests)
	case hanging:
		r.ledger.attempt(seq, id, false)
		<-req.Context().Done()
	case resetting:
		r.ledger.attempt(seq, id, false)
		cutOff(w)
	case slow:
		if testbed.Sleep(req.Context(), slowAnswer) == nil {
			r.ledger.attempt(seq, id, true)
			w.WriteHeader(http.StatusOK)
		}
	case healthy:
		r.ledger.attempt(seq, id, true)
		w.WriteHeader(http.StatusOK)
	}
}

func (r *receiver) refuse(w http.ResponseWriter, seq int, id string, status int) {
	r.ledger.attempt(seq, id, false)
	w.WriteHeader(status)
}

// cutOff makes the kernel answer with a reset.
func cutOff(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

// sequenceKey begins the number that the publisher put into the event's data.
const sequenceKey = `"chaos":`

// sequence is the event's number in the ledger, or -1.
func sequence(body []byte) int {
	_, rest, found := bytes.Cut(body, []byte(sequenceKey))
	if !found {
		return -1
	}
	end := bytes.IndexAny(rest, ",}")
	if end < 0 {
		return -1
	}
	n, err := strconv.Atoi(string(bytes.TrimSpace(rest[:end])))
	if err != nil {
		return -1
	}
	return n
}

// retry calls fn every 250 ms until it succeeds, and gives its last error up after the limit or when ctx ends.
func retry(ctx context.Context, limit time.Duration, fn func(context.Context) error) error {
	deadline := time.Now().Add(limit)
	for {
		err := fn(ctx)
		if err == nil || time.Now().After(deadline) {
			return err
		}
		if ended := testbed.Sleep(ctx, 250*time.Millisecond); ended != nil {
			return errors.Join(err, ended)
		}
	}
}
