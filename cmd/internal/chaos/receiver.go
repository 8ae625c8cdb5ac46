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

// mode is the behaviour of a receiver.
type mode int32

const (
	healthy   mode = iota
	failing        // 500
	hanging        // reads the request and never responds
	resetting      // closes the connection without a response
	limiting       // 429 with Retry-After
	slow           // responds 200 after slowAnswer
)

// slowAnswer is shorter than attemptTimeout.
const slowAnswer = 2 * time.Second

// receiver is the endpoint of one webhook, on its own port.
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

// up starts to listen, on the same port each time.
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

// down closes the listener and all connections.
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
		return // aborted: not counted as an attempt
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

// cutOff makes the kernel send a TCP reset.
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

// sequenceKey precedes the event's number in its data.
const sequenceKey = `"chaos":`

// sequence returns the event's number in the ledger, or -1.
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

// retry calls fn every 250 ms until it succeeds. After the limit, or when ctx ends, it returns fn's last error.
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
