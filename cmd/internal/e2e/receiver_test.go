package e2e_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"
)

// receiver is an endpoint that records its requests.
type receiver struct {
	*httptest.Server
	mu       sync.Mutex
	got      []received
	accepted map[string]int // webhook-id → number of 2xx responses
	answer   func(n int, r received) (status int, header http.Header)
}

// received is one POST.
type received struct {
	At     time.Time
	Header http.Header
	Raw    []byte
	Body   struct {
		Event      string         `json:"event"`
		Type       string         `json:"type"`
		DeliveryID string         `json:"deliveryId"`
		Data       map[string]any `json:"data"`
	}
	Status int
}

func (r received) ID() string { return r.Header.Get("Webhook-Id") }

// listen starts a receiver that responds 200, or as answer returns for the n-th POST (from 1).
func listen(t *testing.T, answer func(n int, r received) (int, http.Header)) *receiver {
	t.Helper()
	rc := &receiver{accepted: map[string]int{}, answer: answer}
	rc.Server = httptest.NewServer(http.HandlerFunc(rc.receive))
	t.Cleanup(rc.Close)
	return rc
}

// status returns an answer function that always returns code.
func status(code int) func(int, received) (int, http.Header) {
	return func(int, received) (int, http.Header) { return code, nil }
}

// refuseSome returns an answer function that refuses the first attempt of every nth delivery. Later attempts succeed,
// however slow the machine is and in whatever order they come.
func refuseSome(nth int) func(int, received) (int, http.Header) {
	var mu sync.Mutex
	seen := map[string]bool{}
	return func(_ int, r received) (int, http.Header) {
		mu.Lock()
		defer mu.Unlock()
		if seen[r.ID()] {
			return http.StatusOK, nil
		}
		seen[r.ID()] = true
		if len(seen)%nth == 0 {
			return http.StatusServiceUnavailable, nil
		}
		return http.StatusOK, nil
	}
}

func (rc *receiver) receive(w http.ResponseWriter, req *http.Request) {
	r := received{At: time.Now(), Header: req.Header}
	r.Raw, _ = io.ReadAll(req.Body)
	_ = json.Unmarshal(r.Raw, &r.Body)
	rc.mu.Lock()
	answer, n := rc.answer, len(rc.got)+1
	rc.mu.Unlock()
	r.Status = http.StatusOK
	if answer != nil {
		var h http.Header
		r.Status, h = answer(n, r)
		for k, v := range h {
			w.Header()[k] = v
		}
	}
	rc.mu.Lock()
	rc.got = append(rc.got, r)
	if r.Status < 300 {
		rc.accepted[r.ID()]++
	}
	rc.mu.Unlock()
	w.WriteHeader(r.Status)
}

// turn changes the response to later requests.
func (rc *receiver) turn(answer func(int, received) (int, http.Header)) {
	rc.mu.Lock()
	defer rc.mu.Unlock()
	rc.answer = answer
}

func (rc *receiver) all() []received {
	rc.mu.Lock()
	defer rc.mu.Unlock()
	return append([]received(nil), rc.got...)
}

func (rc *receiver) count() int { return len(rc.all()) }

// acceptedOnce returns the number of accepted deliveries and of their duplicates.
func (rc *receiver) acceptedOnce() (deliveries, extra int) {
	rc.mu.Lock()
	defer rc.mu.Unlock()
	for _, n := range rc.accepted {
		deliveries++
		extra += n - 1
	}
	return deliveries, extra
}
