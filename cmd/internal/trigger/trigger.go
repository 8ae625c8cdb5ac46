// Package trigger makes a running API send the sample of an event, so that an integrator need not wait for a real one.
//
// It is an ordinary client: the API makes the sample, from the same source as its documentation.
package trigger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/agnivade/levenshtein"

	"greenroom/cmd/internal/client"
)

// Options configures Run.
type Options struct {
	client.Settings
	// Type is the event type.
	Type string
	// Company is whose event it is; "": that of the key.
	Company string
	// Webhook is the only one that gets the event, as a test; "": all that are subscribed to the type.
	Webhook string
	JSON    bool
	Out     io.Writer
}

// Run publishes the sample of an event, or tests a webhook with it, and prints the outcome. A failed test is an error.
func Run(ctx context.Context, opts Options) error {
	t := &trigger{opts, client.New(opts.Settings)}
	switch {
	case opts.Webhook != "":
		return t.test(ctx)
	case opts.Type == "ping":
		return errors.New("a ping is sent to one webhook alone: name it with --webhook")
	}
	return t.publish(ctx)
}

// Types lists the event types that the API knows: those of the catalogue and of the company.
func Types(ctx context.Context, s client.Settings, company string) ([]string, error) {
	var list struct {
		Data []struct {
			Type string `json:"type"`
		} `json:"data"`
	}
	if err := client.New(s).Do(ctx, http.MethodGet, "/event-types"+query(company), nil, &list); err != nil {
		return nil, fmt.Errorf("list event types: %w", err)
	}
	names := make([]string, len(list.Data))
	for i, t := range list.Data {
		names[i] = t.Type
	}
	return names, nil
}

type trigger struct {
	Options
	api *client.Client
}

func query(company string) string {
	if company == "" {
		return ""
	}
	return "?companyId=" + url.QueryEscape(company)
}

func (t *trigger) publish(ctx context.Context) error {
	var sample struct {
		Data   json.RawMessage `json:"data"`
		Reason *string         `json:"reason"`
	}
	path := "/event-types/" + url.PathEscape(t.Type) + "/samples" + query(t.Company)
	if err := t.api.Do(ctx, http.MethodGet, path, nil, &sample); err != nil {
		if refused, is := errors.AsType[*client.Refusal](err); is && refused.Status == http.StatusNotFound {
			return t.unknown(ctx)
		}
		return fmt.Errorf("read sample: %w", err)
	}
	if sample.Reason != nil {
		return fmt.Errorf("there is no sample of %s: %s", t.Type, *sample.Reason)
	}
	var raw json.RawMessage
	event := map[string]any{"type": t.Type, "data": sample.Data}
	if err := t.api.Do(ctx, http.MethodPost, "/events"+query(t.Company), event, &raw); err != nil {
		return fmt.Errorf("publish event: %w", err)
	}
	var published struct {
		ID         string `json:"id"`
		Deliveries int    `json:"deliveries"`
	}
	if err := json.Unmarshal(raw, &published); err != nil {
		return fmt.Errorf("publish event: %w", err)
	}
	if t.JSON {
		return t.print("%s\n", raw)
	}
	if published.Deliveries == 0 {
		return t.print("%s published as event %s; no webhook gets it, and GET /events/%[2]s/fan-out says why\n%s\n",
			t.Type, published.ID, t.Link(ctx, "/events/"+published.ID))
	}
	return t.print("%s published as event %s; deliveries: %d\n%s\n", t.Type, published.ID, published.Deliveries,
		t.Link(ctx, "/events/"+published.ID))
}

// typos is the edit distance up to which a name resembles a type.
const typos = 3

// unknown is the error for a type that the API does not know. It names those that may be meant.
func (t *trigger) unknown(ctx context.Context) error {
	names, err := Types(ctx, t.Settings, t.Company)
	if err != nil {
		return err
	}
	var near []string
	for _, name := range names {
		if levenshtein.ComputeDistance(name, t.Type) <= typos {
			near = append(near, name)
		}
	}
	if len(near) > 0 {
		return fmt.Errorf("there is no event type %q: did you mean %s?", t.Type, strings.Join(near, " or "))
	}
	return fmt.Errorf("there is no event type %q: there are %s", t.Type, strings.Join(names, ", "))
}

func (t *trigger) test(ctx context.Context) error {
	var raw json.RawMessage
	path := "/webhooks/" + url.PathEscape(t.Webhook) + "/test"
	if err := t.api.Do(ctx, http.MethodPost, path, map[string]any{"type": t.Type}, &raw); err != nil {
		return fmt.Errorf("test webhook: %w", err)
	}
	var result struct {
		Success    bool   `json:"success"`
		Message    string `json:"message"`
		DeliveryID string `json:"deliveryId"`
		HTTPStatus int    `json:"httpStatus"`
		DurationMs int    `json:"durationMs"`
	}
	if err := json.Unmarshal(raw, &result); err != nil {
		return fmt.Errorf("test webhook: %w", err)
	}
	if t.JSON {
		if err := t.print("%s\n", raw); err != nil {
			return err
		}
	}
	switch {
	case !result.Success:
		return errors.New(result.Message)
	case t.JSON:
		return nil
	}
	return t.print("%s sent as a test: HTTP %d after %d ms, delivery %s\n%s\n",
		t.Type, result.HTTPStatus, result.DurationMs, result.DeliveryID, t.Link(ctx, "/deliveries/"+result.DeliveryID))
}

func (t *trigger) print(format string, args ...any) error {
	_, err := fmt.Fprintf(t.Out, format, args...)
	return err
}
