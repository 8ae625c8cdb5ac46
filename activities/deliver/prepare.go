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

// preparationFault is why a request cannot be made from what is stored. Trying again would find the same, so the
// delivery fails and somebody replays it when the cause is gone.
type preparationFault struct {
	reason string // one sentence for the customer, with the remedy
	err    error  // for the log
}

// request renders the body, or takes the one that was sent before: every attempt sends the same bytes. It reads
// nothing from outside the process, so each of its faults is permanent.
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

// render makes the body. What the event was about is read for that alone.
func (t *attempt) render(p *webhook.Profile, m webhook.Message) ([]byte, error) {
	if about := t.job.Event.Context; len(about) > 0 {
		m.Context = new(catalog.Context)
		if err := json.Unmarshal(about, m.Context); err != nil {
			return nil, fmt.Errorf("read what event %s is about: %w", m.EventID, err)
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

// fail ends the delivery because of a fault. No POST was made, so there is no attempt to record. goesOnAs is the
// delivery's own workflow when the fault was found in a batch: it shows the failure.
func (t *attempt) fail(ctx context.Context, fault *preparationFault, goesOnAs string) error {
	ended, err := delivery.FailDelivery(ctx, t.DB, delivery.Failure{
		DeliveryID: t.in.DeliveryID, Generation: t.in.Generation, Attempt: t.in.Attempt, Reason: fault.reason,
		WorkflowID: t.workflow, GoesOnAs: goesOnAs,
	})
	if err != nil || !ended {
		return err
	}
	unpreparedTotal.Inc()
	t.Logger.ErrorContext(
		ctx,
		"delivery cannot be prepared",
		"delivery_id",
		t.in.DeliveryID,
		"webhook_id",
		t.job.Webhook.ID,
		"error",
		fault.err,
	)
	return nil
}
