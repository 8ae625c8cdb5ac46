package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/google/uuid"

	"greenroom/api"
	"greenroom/api/surface"
	"greenroom/db/delivery"
)

// FilterTest says which of the newest events a webhook would get.
type FilterTest struct {
	WebhookID uuid.UUID `json:"webhookId"`
	*api.FilterTestResult
}

// TestFilter tries a filter on the newest events that could reach the webhook, and stores nothing. An empty filter is
// the webhook's own.
func (a *Admin) TestFilter(ctx context.Context, id uuid.UUID, filter string, limit int) (FilterTest, error) {
	if limit < 1 || limit > delivery.FilterTestLimit {
		return FilterTest{}, fmt.Errorf("--limit must be from 1 to %d", delivery.FilterTestLimit)
	}
	if filter != "" && !json.Valid([]byte(filter)) {
		return FilterTest{}, errors.New(`--filter must be a JSON object, such as {"data": {"status": "COMPLETED"}}`)
	}
	if a.api != nil {
		return a.remoteTestFilter(ctx, id, filter, limit)
	}
	w, err := delivery.GetWebhook(ctx, a.DB, id)
	if err != nil {
		return FilterTest{}, describeMissing(err, "webhook", id)
	}
	if filter != "" {
		var refused *surface.Error
		if err := surface.SetFilter(w, json.RawMessage(filter)); errors.As(err, &refused) {
			return FilterTest{}, errors.New(refused.Message)
		} else if err != nil {
			return FilterTest{}, err
		}
	}
	t := delivery.FilterTest{Webhook: w, Limit: limit}
	if w.Filter != nil {
		t.Filter = json.RawMessage(*w.Filter)
	}
	r, err := api.TestFilter(ctx, a.DB, t)
	return FilterTest{id, r}, err
}

// remoteTestFilter is TestFilter through the API.
func (a *Admin) remoteTestFilter(ctx context.Context, id uuid.UUID, filter string, limit int) (FilterTest, error) {
	body := map[string]any{"limit": limit}
	if filter != "" {
		body["filter"] = json.RawMessage(filter)
	}
	r, err := answered[*api.FilterTestResult](
		a.api.TestWebhookFilterWithBody(ctx, id.String(), jsonType, jsonBody(body)))
	return FilterTest{id, r}, err
}

// FilterTest prints the events, and why those are not sent that are not.
func (p Printer) FilterTest(t FilterTest) error {
	return p.Value(t, func(out io.Writer) {
		row(out, "EVENT", "TYPE", "SENT", "WHY NOT")
		for _, e := range t.Events {
			row(out, e.ID, e.Type, map[bool]string{true: "yes", false: "no"}[e.IsSent], e.Why)
		}
		fmt.Fprintf(out, "\n%d of %d events would be sent\n", t.Matched, len(t.Events))
	})
}
