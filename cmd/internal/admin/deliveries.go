package admin

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/activities/webhook"
	"greenroom/api"
	"greenroom/db"
	"greenroom/db/delivery"
	"greenroom/db/pg"
)

// DeliveryQuery filters a list of deliveries. A zero field does not filter.
type DeliveryQuery struct {
	Webhook uuid.UUID
	// Company is a name or an id.
	Company string
	// Event is a type of the catalogue, or one that a company has registered.
	Event        string
	Status       string
	Since, Until time.Time
	// Cursor is the last id of the list before.
	Cursor uuid.UUID
	Limit  int64
	// Tests includes failed test calls in a list with the status failed.
	Tests bool
}

// Delivery is the output for a delivery of one event to one webhook.
type Delivery struct {
	ID             uuid.UUID       `json:"id"`
	EventID        uuid.UUID       `json:"eventId"`
	EventType      string          `json:"eventType"`
	WebhookID      uuid.UUID       `json:"webhookId"`
	CompanyID      *uuid.UUID      `json:"companyId"`
	Status         delivery.Status `json:"status"`
	IsTest         bool            `json:"isTest"`
	Generation     int             `json:"generation"`
	AttemptCount   int             `json:"attemptCount"`
	NextAttemptAt  *time.Time      `json:"nextAttemptAt"`
	LastStatusCode *int            `json:"lastStatusCode"`
	LastError      *string         `json:"lastError"`
	WorkflowID     *string         `json:"workflowId"`
	CreatedAt      time.Time       `json:"createdAt"`
	UpdatedAt      time.Time       `json:"updatedAt"`

	webhook string // name and host, for people
}

func showDelivery(d *delivery.Delivery) Delivery {
	return Delivery{
		ID:             d.ID,
		EventID:        d.EventID,
		EventType:      d.EventType,
		WebhookID:      d.WebhookID,
		CompanyID:      d.CompanyID,
		Status:         d.Status,
		IsTest:         d.IsTest,
		Generation:     d.Generation,
		AttemptCount:   d.Attempts,
		NextAttemptAt:  d.NextAttemptAt,
		LastStatusCode: d.LastStatusCode,
		LastError:      d.LastError,
		WorkflowID:     d.WorkflowID,
		CreatedAt:      d.CreatedAt,
		UpdatedAt:      d.UpdatedAt,
	}
}

// Attempt is the output for one POST.
type Attempt struct {
	Attempt       int              `json:"attempt"`
	Generation    int              `json:"generation"`
	StartedAt     time.Time        `json:"startedAt"`
	DurationMS    int              `json:"durationMs"`
	Outcome       delivery.Outcome `json:"outcome"`
	StatusCode    *int             `json:"statusCode"`
	ErrorKind     *string          `json:"errorKind"`
	Error         *string          `json:"error"`
	Response      *string          `json:"response"`
	NextAttemptAt *time.Time       `json:"nextAttemptAt"`
	WorkflowID    string           `json:"workflowId"`
	RunID         uuid.UUID        `json:"runId"`
}

// DeliveryDetail is a delivery with its attempts, oldest first, and the body that was sent. The body contains data of
// candidates, so only the JSON output has it.
type DeliveryDetail struct {
	Delivery
	Body        json.RawMessage `json:"body"`
	Attempts    []Attempt       `json:"attempts"`
	Explanation api.Explanation `json:"explanation"`
}

// withoutTests: tests that failed are no news.
func (q DeliveryQuery) withoutTests() bool {
	return delivery.Status(q.Status) == delivery.Failed && !q.Tests
}

// ListDeliveries returns deliveries, newest first.
func (a *Admin) ListDeliveries(ctx context.Context, q DeliveryQuery) ([]Delivery, error) {
	f := delivery.Filter{
		Status: delivery.Status(q.Status), EventType: q.Event, Since: q.Since, Until: q.Until, Before: q.Cursor,
		Limit: q.Limit,
	}
	if q.Status != "" && !slices.Contains(delivery.Statuses(), f.Status) {
		return nil, fmt.Errorf("--status must be one of %s, not %q", join(delivery.Statuses()), q.Status)
	}
	if err := checkLimit(q.Limit); err != nil {
		return nil, err
	}
	if a.api != nil {
		return a.remoteDeliveries(ctx, q)
	}
	f.WithoutTests = q.withoutTests()
	if q.Webhook != uuid.Nil {
		f.Webhook = &q.Webhook
	}
	var err error
	if f.Company, err = a.companyID(ctx, q.Company); err != nil {
		return nil, err
	}
	found, err := delivery.ListDeliveries(ctx, a.DB, pg.Scope{}, f)
	if err != nil {
		return nil, err
	}
	if err := delivery.NameCircuits(ctx, a.DB, found); err != nil {
		return nil, err
	}
	receivers, err := a.receivers(ctx, found)
	if err != nil {
		return nil, err
	}
	shown := make([]Delivery, len(found))
	for i := range found {
		shown[i] = showDelivery(&found[i])
		shown[i].webhook = receivers[found[i].WebhookID]
	}
	return shown, nil
}

// receivers returns name and host of the deliveries' webhooks, also of deleted ones.
func (a *Admin) receivers(ctx context.Context, ds []delivery.Delivery) (map[uuid.UUID]string, error) {
	named := map[uuid.UUID]string{}
	for _, d := range ds {
		named[d.WebhookID] = ""
	}
	hooks, err := delivery.WebhookNames(ctx, a.DB, slices.Collect(maps.Keys(named)))
	for _, w := range hooks {
		named[w.ID] = strings.TrimSpace(w.Name + " " + webhook.Host(w.URL))
	}
	return named, err
}

func join[T ~string](items []T) string {
	texts := make([]string, len(items))
	for i, t := range items {
		texts[i] = string(t)
	}
	return strings.Join(texts, ", ")
}

// GetDelivery returns a delivery with its attempts.
func (a *Admin) GetDelivery(ctx context.Context, id uuid.UUID) (DeliveryDetail, error) {
	if a.api != nil {
		return a.remoteDelivery(ctx, id)
	}
	d, err := delivery.GetDelivery(ctx, a.DB, pg.Scope{}, id)
	if err != nil {
		return DeliveryDetail{}, describeMissing(err, "delivery", id)
	}
	attempts, err := delivery.ListAttempts(ctx, a.DB, id)
	if err != nil {
		return DeliveryDetail{}, err
	}
	w, err := delivery.GetWebhook(ctx, a.DB, d.WebhookID)
	if errors.Is(err, pg.ErrNotFound) {
		w, err = nil, nil // deleted
	}
	if err != nil {
		return DeliveryDetail{}, err
	}
	named := []delivery.Delivery{*d}
	if err := delivery.NameCircuits(ctx, a.DB, named); err != nil {
		return DeliveryDetail{}, err
	}
	receivers, err := a.receivers(ctx, named)
	if err != nil {
		return DeliveryDetail{}, err
	}
	line, err := delivery.LineOf(ctx, a.DB, d)
	if err != nil {
		return DeliveryDetail{}, err
	}
	detail := DeliveryDetail{
		Delivery: showDelivery(&named[0]), Attempts: make([]Attempt, len(attempts)),
		Explanation: inCommands(api.Explain(d, attempts, w, line), d.ID, d.WebhookID), Body: shownBody(d.Body),
	}
	detail.webhook = receivers[d.WebhookID]
	for i, t := range attempts {
		detail.Attempts[i] = Attempt{
			Attempt:       t.Attempt,
			Generation:    t.Generation,
			StartedAt:     t.StartedAt,
			DurationMS:    t.DurationMS,
			Outcome:       t.Outcome,
			StatusCode:    t.StatusCode,
			ErrorKind:     t.ErrorKind,
			Error:         t.Error,
			Response:      t.Response,
			NextAttemptAt: t.NextAttemptAt,
			WorkflowID:    t.WorkflowID,
			RunID:         t.RunID,
		}
	}
	return detail, nil
}

// shownBody is a body as the API shows it: JSON, or a text as a string.
func shownBody(sent []byte) json.RawMessage {
	if sent == nil || json.Valid(sent) {
		return sent
	}
	text, _ := json.Marshal(string(sent)) // a string can be encoded
	return text
}

// inCommands is an explanation of the API with commands in place of requests.
func inCommands(e api.Explanation, deliveryID, webhookID uuid.UUID) api.Explanation {
	id, hook := deliveryID.String(), webhookID.String()
	e.Next = strings.NewReplacer(
		"POST /deliveries/"+id+"/retry", "greenroom deliveries retry "+id,
		"POST /webhooks/"+hook+"/reset-circuit", "greenroom webhooks reset-circuit "+hook,
		"PATCH /webhooks/"+hook+` {"isActive": true}`, "greenroom webhooks update --activate "+hook,
	).Replace(e.Next)
	return e
}

// RetryDelivery starts an ended delivery again, with all its attempts. A delivery that waits for its next attempt is
// sent now.
func (a *Admin) RetryDelivery(ctx context.Context, id uuid.UUID) (Delivery, error) {
	if a.api != nil {
		return answered[Delivery](a.api.RetryDelivery(ctx, id.String()))
	}
	var shown Delivery
	err := pg.InTx(ctx, a.DB, func(ctx context.Context, tx bun.Tx) error {
		d, err := delivery.RetryDelivery(ctx, tx, pg.Scope{}, id)
		if err == nil {
			shown = showDelivery(d)
			err = audit(ctx, tx, d.CompanyID, db.AuditReplayed, db.AuditedDelivery, id)
		}
		return describeRefusedRetry(describeMissing(err, "delivery", id), id)
	})
	return shown, err
}

// CancelDelivery cancels a delivery that has not ended. No further attempt is made.
func (a *Admin) CancelDelivery(ctx context.Context, id uuid.UUID) (Delivery, error) {
	if a.api != nil {
		return answered[Delivery](a.api.CancelDelivery(ctx, id.String()))
	}
	var shown Delivery
	err := pg.InTx(ctx, a.DB, func(ctx context.Context, tx bun.Tx) error {
		d, err := delivery.CancelDelivery(ctx, tx, pg.Scope{}, id)
		if err == nil {
			shown = showDelivery(d)
			err = audit(ctx, tx, d.CompanyID, db.AuditCanceled, db.AuditedDelivery, id)
		}
		var state *pg.StateError
		if errors.As(err, &state) {
			return fmt.Errorf("delivery %s is %s: a delivery that has ended cannot be canceled", id, state.State)
		}
		return describeMissing(err, "delivery", id)
	})
	return shown, err
}

// describeRefusedRetry explains why a delivery cannot be retried. It returns other errors unchanged.
func describeRefusedRetry(err error, id uuid.UUID) error {
	var state *pg.StateError
	if !errors.As(err, &state) {
		return err
	}
	if state.Resource == "webhook" {
		return fmt.Errorf("delivery %s cannot be sent again: its webhook was deleted", id)
	}
	hint := "it is already being sent"
	if state.State == string(delivery.Paused) {
		hint = "it is sent when its webhook's circuit is reset or the webhook is activated"
	}
	return fmt.Errorf("delivery %s is %s: %s", id, state.State, hint)
}

// Deliveries prints a list of deliveries.
func (p Printer) Deliveries(list []Delivery) error {
	return p.Value(list, func(out io.Writer) {
		row(out, "ID", "EVENT", "STATUS", "ATTEMPTS", "LAST", "NEXT ATTEMPT", "CREATED", "WEBHOOK")
		for _, d := range list {
			result := attemptResult(d.LastStatusCode, d.LastError)
			row(out, d.ID, d.EventType, d.Status, d.AttemptCount, result, d.NextAttemptAt, d.CreatedAt,
				cmp.Or(d.webhook, d.WebhookID.String()))
		}
	})
}

// Delivery prints the new state of a delivery.
func (p Printer) Delivery(d Delivery) error {
	return p.Value(d, func(out io.Writer) {
		row(out, "delivery", d.ID, fmt.Sprintf("is %s, generation %d", d.Status, d.Generation))
		if d.Status == delivery.Canceled {
			row(out, "", "", "an attempt in flight still counts: if the receiver accepts it, the delivery is succeeded")
		}
	})
}

// DeliveryDetail prints a delivery and its attempts.
func (p Printer) DeliveryDetail(d DeliveryDetail) error {
	return p.Value(d, func(out io.Writer) {
		row(out, "delivery", d.ID)
		row(out, "event", d.EventType+" "+d.EventID.String())
		row(out, "webhook", strings.TrimSpace(d.WebhookID.String()+" "+d.webhook))
		row(out, "status", d.Status)
		row(out, "why", d.Explanation.Why)
		row(out, "next", d.Explanation.Next)
		row(out, "workflow", d.WorkflowID)
		row(out, "created", d.CreatedAt)
		fmt.Fprintln(out)
		row(out, "GENERATION", "ATTEMPT", "STARTED", "MS", "OUTCOME", "ANSWER", "RESPONSE")
		for _, t := range d.Attempts {
			result := attemptResult(t.StatusCode, t.Error)
			row(out, t.Generation, t.Attempt, t.StartedAt, t.DurationMS, t.Outcome, result, clip(t.Response))
		}
	})
}

// attemptResult is the HTTP status of an attempt, or the error if there was no response.
func attemptResult(status *int, err *string) string {
	if status != nil {
		return fmt.Sprintf("HTTP %d", *status)
	}
	return cell(err)
}

// shownResponse is how many characters of a response the table shows.
const shownResponse = 60

func clip(text *string) string {
	if text == nil {
		return ""
	}
	if r := []rune(*text); len(r) > shownResponse {
		return string(r[:shownResponse]) + "…"
	}
	return *text
}
