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

// receiver plays all endpoints. Each has a port of its own, because endpoints of different customers share no
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

// endpoint opens one more, for the k-th webhook of a company, and gives its address. A hanging one reads and never
// answers.
func (r *receiver) endpoint(k int, hangs bool) (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // immediate
	if err != nil {
		return "", fmt.Errorf("open an endpoint: %w", err)
	}
	go func() {
		if err := r.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			panic(err) // a listener of our own does not fail
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
	_ = testbed.Sleep(req.Context(), r.delay) // cut off: nobody reads the answer
	w.WriteHeader(http.StatusOK)
}

// note ignores what belongs to an earlier phase.
func (r *receiver) note(body []byte, path string) {
	k, err := strconv.Atoi(strings.TrimPrefix(path, "/"))
	t := r.current.Load()
	if t == nil || err != nil || number(body, `"phase":`) != t.phase {
		return
	}
	t.arrive(number(body, `"seq":`), k)
}

// number finds the digits after the key: faster than reading 512 bytes of JSON, so that more of the machine is left for
// what is measured. -1: there are none.
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

func (r *receiver) close() { _ = r.server.Close() } // hanging requests are cut off
