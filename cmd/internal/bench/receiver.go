package bench

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"greenroom/cmd/internal/testbed"
)

// receiver serves all endpoints. Each has its own port, because endpoints of different customers do not share
// connections.
type receiver struct {
	server  *http.Server
	delay   time.Duration
	current atomic.Pointer[tracker]
}

func newReceiver(delay time.Duration) (*receiver, error) {
	r := &receiver{delay: delay}
	r.server = &http.Server{Handler: http.HandlerFunc(r.receive), ReadHeaderTimeout: 10 * time.Second}
	return r, nil
}

// endpoint opens an endpoint for the k-th webhook of a company and returns its URL. A hanging endpoint reads and never
// responds.
func (r *receiver) endpoint(k int, hangs bool) (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // immediate
	if err != nil {
		return "", fmt.Errorf("open an endpoint: %w", err)
	}
	go func() {
		if err := r.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			panic(err) // this listener does not fail
		}
	}()
	path := "/" + strconv.Itoa(k)
	if hangs {
		path = "/hang"
	}
	return "http://" + listener.Addr().String() + path, nil
}

func (r *receiver) receive(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	if req.URL.Path == "/hang" {
		<-req.Context().Done()
		return
	}
	r.note(body, req.URL.Path)
	_ = testbed.Sleep(req.Context(), r.delay) // on an error, the client is gone
	w.WriteHeader(http.StatusOK)
}

// note records an arrival. It ignores events of an earlier phase.
func (r *receiver) note(body []byte, path string) {
	k, err := strconv.Atoi(strings.TrimPrefix(path, "/"))
	t := r.current.Load()
	if t == nil || err != nil || number(body, `"phase":`) != t.phase {
		return
	}
	t.arrive(number(body, `"seq":`), k)
}

// number returns the digits after the key, or -1. It is faster than decoding 512 bytes of JSON, which leaves more CPU
// time to the measured system.
func number(body []byte, key string) int {
	_, rest, found := bytes.Cut(body, []byte(key))
	if !found {
		return -1
	}
	n, digits := 0, 0
	for _, c := range bytes.TrimLeft(rest, " ") {
		if c < '0' || c > '9' {
			break
		}
		n, digits = n*10+int(c-'0'), digits+1
	}
	if digits == 0 {
		return -1
	}
	return n
}

func (r *receiver) close() { _ = r.server.Close() } // aborts hanging requests
