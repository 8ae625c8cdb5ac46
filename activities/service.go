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

	"greenroom/db/pg"
	"greenroom/db/token"
)

const (
	// maxAnswer bounds what is read of a service's answer: the limit that the API sets on an analysis posted to it.
	maxAnswer = 1 << 20
	// maxRefusal bounds, in bytes, what is kept of a service's own words.
	maxRefusal = 300
)

// inquiry is one request to an outside service.
type inquiry struct {
	to     Service
	name   string // of the service, for logs and messages
	method string
	path   string
	body   any // nil for none
	about  uuid.UUID
}

// answer is what a service said that saying it again would not change.
type answer struct {
	name   string
	status int
	body   []byte
}

// ask makes one request. No answer, and an answer that another try may change (5xx, 408, 429), are errors, which the
// activity's retry policy repeats; any other answer is for the caller to judge.
func (a *Activities) ask(ctx context.Context, q inquiry) (answer, error) {
	started := time.Now()
	req, err := q.request(ctx)
	if err != nil {
		return answer{}, fmt.Errorf("prepare request to %s: %w", q.name, err)
	}
	resp, err := a.Client.HTTPClient().Do(req)
	if err != nil {
		return answer{}, fmt.Errorf("ask %s: %w", q.name, withoutURL(err))
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return answer{}, fmt.Errorf("read answer of %s: %w", q.name, err)
	}
	a.Logger.InfoContext(ctx, "service asked", "service", q.name, "method", q.method, "subject_id", q.about,
		"status_code", resp.StatusCode, "duration_ms", time.Since(started).Milliseconds())
	switch code := resp.StatusCode; {
	case code >= 500, code == http.StatusRequestTimeout, code == http.StatusTooManyRequests:
		return answer{}, fmt.Errorf("%s answered %d", q.name, code)
	default:
		return answer{name: q.name, status: code, body: body}, nil
	}
}

func (q inquiry) request(ctx context.Context) (*http.Request, error) {
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

// taken reports whether the service does as it was asked.
func (r answer) taken() bool { return r.status >= 200 && r.status < 300 }

// refusal is the answer of a service that does not, as a sentence for people.
func (r answer) refusal() string {
	var said struct {
		Error   json.RawMessage `json:"error"`
		Message string          `json:"message"`
	}
	sentence := fmt.Sprintf("%s refused with %d", r.name, r.status)
	if json.Unmarshal(r.body, &said) != nil {
		return sentence
	}
	var words string
	if json.Unmarshal(said.Error, &words) != nil || words == "" {
		words = said.Message
	}
	if words := pg.Text([]byte(cut(words, maxRefusal))); words != nil {
		sentence += ": " + *words
	}
	return sentence
}

// callback is the address where a service reports on a row; its token is good for that row alone.
func (a *Activities) callback(kind string, id uuid.UUID) string {
	return strings.TrimRight(a.PublicURL, "/") + "/callbacks/" + kind + "/" + id.String() + "?token=" +
		token.For(a.Secret, token.Callback, id)
}

// withoutURL keeps a service's address, which an operator may not want in a history, out of an error.
func withoutURL(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}

// wrap says what was attempted, if it went wrong.
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

// cut bounds a text in bytes; what is left of a character that was cut apart is the caller's to mend.
func cut(s string, most int) string { return s[:min(len(s), most)] }
