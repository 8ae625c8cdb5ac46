// Package client calls a running API as a customer's program does: over HTTP with a key, without packages of the
// server.
package client

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
	"syscall"
	"time"
)

// Client calls the API at one address with one key.
type Client struct {
	base, key string
	http      *http.Client
}

// New returns a client. It does no I/O.
func New(s Settings) *Client {
	// The test of a webhook waits for its delivery, which can take up to the timeout of 30 s.
	return &Client{base: strings.TrimRight(s.URL, "/"), key: s.APIKey, http: &http.Client{Timeout: 45 * time.Second}}
}

type envelope struct {
	Success bool            `json:"success"`
	Data    json.RawMessage `json:"data"`
	Error   *struct {
		Code    string          `json:"code"`
		Message string          `json:"message"`
		Details json.RawMessage `json:"details"`
	} `json:"error"`
}

// Do sends in as JSON (nil: no body) and decodes the response's data into out (nil: discards it). A refusal of the API
// is an error with its code, message and details.
func (c *Client) Do(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		raw, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("encode body: %w", err)
		}
		body = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return fmt.Errorf("GREENROOM_URL %q: %w", c.base, err)
	}
	req.Header.Set("Authorization", "Bearer "+c.key)
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return unreachable(ctx, c.base, err)
	}
	defer resp.Body.Close()
	return decode(resp, out)
}

func unreachable(ctx context.Context, base string, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	e, is := errors.AsType[*url.Error](err)
	switch {
	case !is:
		return err
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("no Greenroom at %s (%w): start it with `make run`", base, e.Err)
	}
	return fmt.Errorf("no answer from Greenroom at %s: %w", base, e.Err)
}

func decode(resp *http.Response, out any) error {
	raw, err := io.ReadAll(io.LimitReader(resp.Body, 4<<20))
	if err != nil {
		return fmt.Errorf("read response: %w", err)
	}
	if resp.StatusCode == http.StatusNoContent && out == nil {
		return nil
	}
	at := *resp.Request.URL
	at.Path, at.RawQuery = "", ""
	another := fmt.Errorf("%s responded %d, not as Greenroom's API does: is GREENROOM_URL or --url its address?",
		at.String(), resp.StatusCode)
	var e envelope
	if err := json.Unmarshal(raw, &e); err != nil {
		return another
	}
	switch {
	case e.Error != nil:
		return &Refusal{resp.StatusCode, e.Error.Code, e.Error.Message, details(e.Error.Details)}
	case resp.StatusCode >= 300 || !e.Success:
		return another
	case out == nil:
		return nil
	case len(e.Data) == 0 || string(e.Data) == "null":
		return another
	}
	if err := json.Unmarshal(e.Data, out); err != nil {
		return fmt.Errorf("decode data: %w", err)
	}
	return nil
}

// Refusal is an error that the API answered with.
type Refusal struct {
	Status                 int
	Code, Message, Details string
}

func (r *Refusal) Error() string {
	text := fmt.Sprintf("responded %d %s: %s", r.Status, r.Code, r.Message)
	if r.Details != "" {
		text += " " + r.Details
	}
	if r.Status == http.StatusUnauthorized {
		text += ": set GREENROOM_API_KEY to a key of this API"
	}
	return text
}

func details(raw json.RawMessage) string {
	if string(raw) == "null" {
		return ""
	}
	return string(raw)
}
