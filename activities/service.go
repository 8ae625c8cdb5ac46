package activities

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"

	"greenroom/activities/webhook"
	"greenroom/db/pg"
	"greenroom/db/token"
)

const (
	// maxAnswer bounds a service's answer in bytes.
	maxAnswer = 1 << 20
	// maxAnalysis bounds an analyser's answer in bytes, as the API bounds a posted analysis.
	maxAnalysis = 256 << 10
	// maxRefusal bounds the stored part of a service's error message, in bytes.
	maxRefusal = 300
)

// serviceRequest is one request to an external service.
type serviceRequest struct {
	to      Service
	name    string // of the service, for logs and messages
	method  string
	path    string
	body    any       // nil for none
	subject uuid.UUID // the row's id, for logs
	company uuid.UUID // whose share of the service it takes
}

// answer is a service's final answer, which a retry would not change.
type answer struct {
	name   string
	status int
	body   []byte
}

// call sends one request. A network error, a retryable answer (5xx, 408, 429) and the lack of a place are returned as
// an error, which the activity's retry policy retries. Any other answer is returned for the caller to evaluate.
func (a *Activities) call(ctx context.Context, q serviceRequest) (answer, error) {
	leave, err := a.outside.enter(q.name, q.company)
	if err != nil {
		return answer{}, err
	}
	defer leave()
	started := time.Now()
	req, err := q.request(ctx)
	if err != nil {
		return answer{}, fmt.Errorf("prepare request to %s: %w", q.name, err)
	}
	resp, err := a.Services.HTTPClient().Do(req)
	if err != nil {
		return answer{}, fmt.Errorf("call %s: %w", q.name, anonymous(err))
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return answer{}, fmt.Errorf("read answer of %s: %w", q.name, anonymous(err))
	}
	a.Logger.InfoContext(ctx, "service called", "service", q.name, "method", q.method, "subject_id", q.subject,
		"status_code", resp.StatusCode, "duration_ms", time.Since(started).Milliseconds())
	if isRetryable(resp.StatusCode) {
		return answer{}, fmt.Errorf("%s answered %d", q.name, resp.StatusCode)
	}
	return answer{name: q.name, status: resp.StatusCode, body: body}, nil
}

// isRetryable reports whether a retry may get another answer than this status code.
func isRetryable(code int) bool {
	return code >= 500 || code == http.StatusRequestTimeout || code == http.StatusTooManyRequests
}

func (q serviceRequest) request(ctx context.Context) (*http.Request, error) {
	var body io.Reader
	if q.body != nil {
		raw, err := json.Marshal(q.body)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(ctx, q.method, strings.TrimRight(q.to.URL, "/")+q.path, body)
	if err != nil {
		return nil, err
	}
	if q.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("Accept", "application/json")
	if q.to.Token != "" {
		req.Header.Set("Authorization", "Bearer "+q.to.Token)
	}
	return req, nil
}

// accepted reports whether the service accepted the request.
func (r answer) accepted() bool { return r.status >= 200 && r.status < 300 }

// refusal describes an answer that is not accepted, with the service's message where it has one.
func (r answer) refusal() string {
	var reply struct {
		Error   json.RawMessage `json:"error"`
		Message string          `json:"message"`
	}
	sentence := fmt.Sprintf("%s refused with %d", r.name, r.status)
	if json.Unmarshal(r.body, &reply) != nil {
		return sentence
	}
	var message string
	if json.Unmarshal(reply.Error, &message) != nil || message == "" {
		message = reply.Message
	}
	if text := pg.Text([]byte(truncate(message, maxRefusal))); text != nil {
		sentence += ": " + *text
	}
	return sentence
}

// callback returns the address where a service reports on a row. Its token is valid for that row only.
func (a *Activities) callback(kind string, id uuid.UUID) string {
	return strings.TrimRight(a.PublicURL, "/") + "/callbacks/" + kind + "/" + id.String() + "?token=" +
		token.For(a.Secret, token.Callback, id)
}

// withoutURL removes the URL from an error, because a service's address must not enter a workflow history.
func withoutURL(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}

// anonymous describes a network error without any host or address, because errors enter workflow histories and logs.
func anonymous(err error) error { return errors.New(webhook.TransportFailure(err)) }

// wrap adds what was attempted to an error; nil stays nil.
func wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}

func orZero[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}

// truncate cuts s to n bytes. It may split a character, so pass the result through [pg.Text], which repairs it.
func truncate(s string, n int) string { return s[:min(len(s), n)] }
