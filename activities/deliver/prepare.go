package deliver

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"greenroom/activities/webhook"
	"greenroom/activities/webhook/profiles"
	"greenroom/db/catalog"
	"greenroom/db/delivery"
)

// preparationFault says why a request cannot be made from the stored rows. A retry would fail too, so the delivery
// fails. It can be replayed once the cause is removed.
type preparationFault struct {
	reason string // a sentence for the customer, with the remedy
	err    error  // for the log
}

// request returns the request of the attempt. The body is rendered once: every attempt sends the same bytes. Nothing is
// read from outside the process, so every fault is permanent.
func (t *attempt) request() (webhook.Request, *preparationFault) {
	d, w, e := &t.job.Delivery, &t.job.Webhook, &t.job.Event
	p, err := profiles.ByName(w.Profile)
	if err != nil {
		return webhook.Request{}, &preparationFault{
			"This version does not know the webhook's profile: upgrade or change the profile, then replay the delivery",
			err,
		}
	}
	m := webhook.Message{
		DeliveryID: d.ID.String(), EventID: e.ID.String(), EventType: e.Type, EventName: p.NameOf(e.Type),
		OccurredAt: e.OccurredAt, Data: e.Data, Endpoint: w.URL, BaseURL: strings.TrimRight(t.PublicURL, "/"),
	}
	if e.CompanyID != nil {
		m.CompanyID = e.CompanyID.String()
	}
	body := d.Body
	if body == nil {
		if body, err = t.render(p, m); err != nil {
			return webhook.Request{}, &preparationFault{
				"The webhook's profile cannot render this event: publish a corrected event",
				err,
			}
		}
	}
	secret, err := t.Box.Open(w.Secret, w.ID, delivery.SecretField)
	if err != nil {
		return webhook.Request{}, &preparationFault{
			"The signing secret cannot be opened: restore its key or replace the secret, then replay the delivery",
			err,
		}
	}
	headers, fault := t.headers()
	if fault != nil {
		return webhook.Request{}, fault
	}
	return webhook.Request{
		URL: w.URL, Profile: p, Message: m, Body: body, Secrets: webhook.Secrets{secret}, Headers: headers,
		Timeout: timeoutOf(w),
	}, nil
}

// render makes the body. It reads the event's context, which is used for nothing else.
func (t *attempt) render(p *webhook.Profile, m webhook.Message) ([]byte, error) {
	if about := t.job.Event.Context; len(about) > 0 {
		m.Context = new(catalog.Context)
		if err := json.Unmarshal(about, m.Context); err != nil {
			return nil, fmt.Errorf("read the context of event %s: %w", m.EventID, err)
		}
	}
	return p.Render(m)
}

func (t *attempt) headers() ([]webhook.Header, *preparationFault) {
	w := &t.job.Webhook
	headers := make([]webhook.Header, len(w.Headers))
	for i, h := range w.Headers {
		headers[i] = webhook.Header{Name: h.Name, Value: h.Value}
		if !h.IsMasked() {
			continue
		}
		value, err := t.Box.Open(h.Sealed, w.ID, delivery.HeaderField(h.Name))
		if err != nil {
			return nil, &preparationFault{
				"The header " + h.Name + " cannot be opened: set its value again, then replay the delivery",
				err,
			}
		}
		headers[i].Value = string(value)
	}
	return headers, nil
}

// fail ends the delivery because of a fault. Nothing was sent, so there is no attempt to record. When the fault was
// found in a batch, ownWorkflow is the id of the delivery's own workflow, which then shows the failure.
func (t *attempt) fail(ctx context.Context, fault *preparationFault, ownWorkflow string) error {
	ended, err := delivery.FailDelivery(ctx, t.DB, delivery.Failure{
		DeliveryID: t.in.DeliveryID, Generation: t.in.Generation, Attempt: t.in.Attempt, Reason: fault.reason,
		WorkflowID: t.workflow, GoesOnAs: ownWorkflow,
	})
	if err != nil || !ended {
		return err
	}
	unpreparedTotal.Inc()
	t.Logger.ErrorContext(ctx, "delivery cannot be prepared",
		"delivery_id", t.in.DeliveryID, "webhook_id", t.job.Webhook.ID, "error", fault.err)
	return nil
}
