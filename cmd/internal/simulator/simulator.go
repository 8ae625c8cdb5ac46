// Package simulator simulates the external services that Greenroom calls: a telephone call provider, an analyser of
// interviews, a generator of questions, a sourcing service and an extractor of jobs. With it an interview runs end to
// end on one machine.
//
// It implements the contract of a real provider over HTTP; Greenroom does not distinguish it from one. It is
// deterministic: the last digits of the telephone number determine the course of a call, and an analysis is computed
// from the transcript by a rule that its text states. Generated questions and sourced profiles are marked as
// simulated. Its state is in memory only.
package simulator

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"time"
)

const (
	// maxBody bounds a request; an hour's transcript is some 100 KiB.
	maxBody = 4 << 20
	// callBackTries, with waits that double from callBackWait, retry a call-back for about half a minute, enough for
	// a restart of an API process.
	callBackTries = 8
	callBackWait  = 250 * time.Millisecond
)

// Options configures a Simulator; the zero value is usable.
type Options struct {
	Logger *slog.Logger
	// CallAfter is how long the telephone rings (default 500 ms).
	CallAfter time.Duration
	// Talk is how long an answered call takes, and how late an asynchronous analysis arrives (default 2 s).
	Talk time.Duration
	// HTTPClient sends the call-backs (default: a client with a timeout of 10 s).
	HTTPClient *http.Client
}

// Simulator is an http.Handler for the call provider (POST /calls, DELETE /calls/{callAttemptId}, GET
// /recordings/{callId}), the analyser (POST /analyses), the generator (POST /generations), the sourcing service (POST
// /sourcings, POST /enrichments) and the extractor (POST /jobs). It is safe for concurrent use.
type Simulator struct {
	opts Options
	mux  *http.ServeMux

	ctx  context.Context // ends with Close
	stop context.CancelFunc
	work sync.WaitGroup

	mu     sync.Mutex
	closed bool
	calls  map[string]*call // by call attempt id
	dialed map[string]int   // calls made, by interview and number
}

// New returns a Simulator. Close ends its calls in progress.
func New(opts Options) *Simulator {
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.CallAfter == 0 {
		opts.CallAfter = 500 * time.Millisecond
	}
	if opts.Talk == 0 {
		opts.Talk = 2 * time.Second
	}
	if opts.HTTPClient == nil {
		opts.HTTPClient = &http.Client{Timeout: 10 * time.Second}
	}
	s := &Simulator{opts: opts, mux: http.NewServeMux(), calls: map[string]*call{}, dialed: map[string]int{}}
	s.ctx, s.stop = context.WithCancel(context.Background())
	s.mux.HandleFunc("POST /calls", s.startCall)
	s.mux.HandleFunc("DELETE /calls/{callAttemptId}", s.hangUp)
	s.mux.HandleFunc("GET /recordings/{callId}", recording)
	s.mux.HandleFunc("POST /analyses", s.analyse)
	s.mux.HandleFunc("POST /generations", s.generate)
	s.mux.HandleFunc("POST /sourcings", s.source)
	s.mux.HandleFunc("POST /enrichments", s.enrich)
	s.mux.HandleFunc("POST /jobs", s.extract)
	return s
}

func (s *Simulator) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	s.mux.ServeHTTP(w, r)
}

// Close ends the calls and analyses in progress without a call-back and waits for their goroutines.
// Afterwards the response to new calls and asynchronous analyses is 503.
func (s *Simulator) Close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.stop()
	s.work.Wait()
}

// background runs f in a goroutine that Close waits for, and reports false after Close. The caller holds mu.
func (s *Simulator) background(f func()) bool {
	if s.closed {
		return false
	}
	s.work.Go(f)
	return true
}

// callBack posts body until it is accepted. It gives up after callBackTries, or at once on a response that a
// retry would not change.
func (s *Simulator) callBack(ctx context.Context, to string, body any) error {
	raw, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("encode call-back: %w", err)
	}
	wait := callBackWait
	for try := 1; ; try++ {
		again, err := s.post(ctx, to, raw)
		if err == nil || !again || try == callBackTries {
			return err
		}
		s.opts.Logger.WarnContext(ctx, "simulator: call-back failed", "attempt", try, "error", err)
		if err := sleep(ctx, wait); err != nil {
			return err
		}
		wait *= 2
	}
}

// post makes one try of a call-back; again reports whether a retry can succeed.
func (s *Simulator) post(ctx context.Context, to string, raw []byte) (again bool, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(raw))
	if err != nil {
		return false, errors.New("callbackUrl is not a URL")
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := s.opts.HTTPClient.Do(req)
	if err != nil {
		// The text of a url.Error has the URL with the call-back's token, so only its cause is logged.
		if e, ok := errors.AsType[*url.Error](err); ok {
			err = e.Err
		}
		return true, fmt.Errorf("post call-back: %w", err)
	}
	defer resp.Body.Close()
	switch code := resp.StatusCode; {
	case code < 300:
		return false, nil
	case code >= 500, code == http.StatusRequestTimeout, code == http.StatusTooManyRequests:
		return true, fmt.Errorf("call-back answered %d", code)
	default:
		return false, fmt.Errorf("call-back refused with %d", code)
	}
}

// sleep waits for d, or returns the error of ctx.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the client is gone
}

func refuse(w http.ResponseWriter, status int, reason string) {
	answer(w, status, map[string]string{"error": reason})
}
