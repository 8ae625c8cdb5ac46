package chaos

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/api/serviceerror"

	"greenroom/db/delivery"
)

// row is a delivery as the database has it at the end.
type row struct {
	ID, EventID, WebhookID uuid.UUID
	Status                 delivery.Status
	Generation             int
	Made                   int // attempts of this generation
	MaxRetries             int
	Open                   bool // its circuit
	WorkflowID             string
	NextAttemptAt          *time.Time
	LastError              string
}

// Unexplained is an accepted event that did not arrive without a known reason, or a delivery that has not
// ended.
type Unexplained struct {
	Event    uuid.UUID `json:"event"`
	Delivery uuid.UUID `json:"delivery"`
	Accepted float64   `json:"acceptedAfterS"`
	Cause    string    `json:"cause"` // the first fault after it was accepted
	Status   string    `json:"status"`
	Why      string    `json:"why"`
	Workflow string    `json:"workflow"` // and its state in Temporal
}

// explain returns why it is correct that a delivery did not arrive or has not ended, or "" if there is no
// reason.
func explain(d row, arrived, canceled bool) string {
	switch {
	case d.Status == delivery.Succeeded && arrived:
		return "arrived"
	case d.Status == delivery.Canceled && canceled:
		return "canceled by the operator"
	case d.Status == delivery.Failed && arrived:
		return "arrived, and is recorded as failed"
	case d.Status == delivery.Failed && d.Made > d.MaxRetries:
		return "its receiver failed every attempt"
	case d.Status == delivery.Paused && d.Open:
		return "waits behind an open circuit"
	}
	return ""
}

// account compares the accepted events with the arrivals and with the database.
func (r *run) account(ctx context.Context, s settled) (*Report, error) {
	rows, err := r.rows(ctx)
	if err != nil {
		return nil, err
	}
	entries, faults := r.ledger.snapshot(), r.timeline.faults()
	report := newReport(r, entries, faults, s)
	byEvent := map[uuid.UUID]row{}
	for _, d := range rows {
		if r.isLoaded(d.WebhookID) {
			byEvent[d.EventID] = d
		}
		report.Statuses[string(d.Status)]++
	}
	known := map[uuid.UUID]bool{}
	for i := range entries {
		if e := &entries[i]; e.accepted != 0 {
			known[e.id] = true
			d, there := byEvent[e.id]
			r.judge(ctx, report, faults, e, d, there)
		}
	}
	for _, d := range rows { // of a witness, or stored by a request whose answer was lost
		if (!known[d.EventID] || !r.isLoaded(d.WebhookID)) && !d.Status.Ended() {
			report.unexplained(
				Unexplained{
					Event:    d.EventID,
					Delivery: d.ID,
					Status:   string(d.Status),
					Why:      "has not ended",
					Workflow: r.workflow(ctx, d),
				},
			)
		}
	}
	return report, r.checkWitnesses(ctx, report, entries)
}

// judge adds one accepted event to the report as arrived, explained or unexplained.
func (r *run) judge(ctx context.Context, report *Report, faults []Fault, e *entry, d row, there bool) {
	u := Unexplained{
		Event: e.id, Delivery: d.ID, Accepted: e.accepted.Seconds(), Status: string(d.Status),
		Cause: causeOf(faults, e.accepted-causeReach, r.timeline.now()),
	}
	switch {
	case !there:
		u.Why = "has no delivery in the database"
	case explain(d, e.arrived != 0, r.operator.touched(r.operator.canceled, d.ID)) != "":
		if e.arrived == 0 {
			report.Explained[explain(d, false, true)]++
		}
		return
	case e.arrived != 0 && d.Status.Ended():
		u.Why = "arrived, but did not end as succeeded"
	case e.arrived != 0:
		u.Why = "arrived, but has not ended"
	default:
		u.Why = "did not arrive"
	}
	if there {
		u.Workflow = r.workflow(ctx, d)
	}
	if e.arrived == 0 {
		report.Lost++
	}
	report.unexplained(u)
}

// rows reads every delivery of the run.
func (r *run) rows(ctx context.Context) (rows []row, err error) {
	err = r.db.NewRaw(`SELECT d.id, d.event_id, d.webhook_id, d.status, d.generation, w.max_retries, w.circuit_opened_at
		IS NOT NULL AS open,
		COALESCE(d.workflow_id, '') AS workflow_id, d.next_attempt_at, COALESCE(d.last_error, '') AS last_error,
		CASE WHEN d.status = 'failed' THEN
			(SELECT count(*) FROM attempts a WHERE a.delivery_id = d.id AND a.generation = d.generation) ELSE 0 END AS made
		FROM deliveries d JOIN webhooks w ON w.id = d.webhook_id`).
		Scan(ctx, &rows)
	if err != nil {
		return nil, fmt.Errorf("read the deliveries: %w", err)
	}
	return rows, nil
}

// workflow names the workflow of a delivery and its state in Temporal.
func (r *run) workflow(ctx context.Context, d row) string {
	if d.WorkflowID == "" {
		return "none recorded"
	}
	ctx, cancel := context.WithTimeout(ctx, handLimit)
	defer cancel()
	described, err := r.stores.client.DescribeWorkflowExecution(ctx, d.WorkflowID, "")
	var gone *serviceerror.NotFound
	switch {
	case errors.As(err, &gone):
		return d.WorkflowID + ": not in Temporal"
	case err != nil:
		return d.WorkflowID + ": " + err.Error()
	}
	return d.WorkflowID + ": " + described.GetWorkflowExecutionInfo().GetStatus().String()
}

// causeReach is how long after its end a fault can still be a cause.
const causeReach = 2 * time.Second
