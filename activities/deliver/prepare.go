package deliver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"greenroom/activities/webhook"
	"greenroom/activities/webhook/profiles"
	"greenroom/db/catalog"
	"greenroom/db/delivery"
	"greenroom/db/seal"
)

// preparationFault says why a request cannot be made from the stored rows. The delivery fails, and can be replayed once
// the cause is removed.
type preparationFault struct {
	reason string // a sentence for the customer, with the remedy
	err    error  // for the log
	// otherWorker: the rows are sound, but this process lacks a key or is too old. Another worker may be able to send, so
	// this is a failed attempt like any other: the schedule retries it, and its end fails the delivery.
	otherWorker bool
}

// response is what an attempt records that sent nothing.
func (f *preparationFault) response() webhook.Response {
	return webhook.Response{StartedAt: time.Now(), ErrorKind: webhook.KindUnprepared, Error: f.reason}
}

// request returns the request of the attempt. The body is rendered once: every attempt sends the same bytes. With a
// fault the request has a profile alone, whose schedule applies.
func (t *attempt) request() (webhook.Request, *preparationFault) {
	p, err := profiles.ByName(t.job.Webhook.Profile)
	if err != nil {
		p, _ = profiles.ByName(profiles.Default)
		return webhook.Request{Profile: p}, &preparationFault{
			reason: "This version does not know the webhook's profile: upgrade the workers or change the profile, then replay " +
				"the delivery",
			err: err, otherWorker: true,
		}
	}
	req, fault := t.requestOf(p)
	if fault != nil {
		return webhook.Request{Profile: p}, fault
	}
	return req, nil
}

func (t *attempt) requestOf(p *webhook.Profile) (webhook.Request, *preparationFault) {
	d, w, e := &t.job.Delivery, &t.job.Webhook, &t.job.Event
	m := webhook.Message{
		DeliveryID: d.ID.String(), EventID: e.ID.String(), EventType: e.Type, EventName: p.NameOf(e.Type),
		OccurredAt: e.OccurredAt, Data: e.Data, Endpoint: w.URL, BaseURL: strings.TrimRight(t.PublicURL, "/"),
	}
	if e.CompanyID != nil {
		m.CompanyID = e.CompanyID.String()
	}
	if e.Subject != nil && e.Sequence != nil {
		m.Subject, m.Sequence = *e.Subject, *e.Sequence
	}
	body, err := d.Body, error(nil)
	if body == nil {
		if body, err = t.render(p, m); err != nil {
			return webhook.Request{}, &preparationFault{
				reason: "The webhook's profile cannot render this event: publish a corrected event", err: err,
			}
		}
	}
	secrets, keys, fault := t.secrets()
	if fault != nil {
		return webhook.Request{}, fault
	}
	headers, fault := t.headers()
	if fault != nil {
		return webhook.Request{}, fault
	}
	auth, fault := t.auth()
	if fault != nil {
		return webhook.Request{}, fault
	}
	req := webhook.Request{
		URL: w.URL, Profile: p, Message: m, Body: body, Secrets: secrets, SigningKeys: keys, Headers: headers, Auth: auth,
		Timeout: timeoutOf(w), WebhookID: w.ID.String(), Test: d.IsTest,
	}
	if p.KeyHeader != "" {
		req.Key = webhook.KeyOf(secrets[0], w.HasDerivedKey())
	}
	return req, nil
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

// secrets opens those that are live now, with their private keys: a retry or a replay is signed as a first attempt is.
func (t *attempt) secrets() (secrets webhook.Secrets, keys webhook.SigningKeys, _ *preparationFault) {
	w := &t.job.Webhook
	for _, s := range w.LiveSecrets(time.Now()) {
		secret, err := t.Box.Open(s.Sealed, w.ID, delivery.SecretField)
		if err == nil && s.SigningKey != nil {
			keys, err = t.openKey(keys, s.SigningKey)
		}
		if err != nil {
			return nil, nil, &preparationFault{
				reason: "The signing secret cannot be opened: restore its key or replace the secret, then replay the delivery",
				err:    err, otherWorker: errors.Is(err, seal.ErrUnknownKey),
			}
		}
		secrets = append(secrets, secret)
	}
	return secrets, keys, nil
}

func (t *attempt) openKey(keys webhook.SigningKeys, sealed []byte) (webhook.SigningKeys, error) {
	raw, err := t.Box.Open(sealed, t.job.Webhook.ID, delivery.SigningKeyField)
	if err != nil {
		return nil, err
	}
	key, err := webhook.ParseSigningKey(raw)
	return append(keys, key), err
}

func (t *attempt) headers() ([]webhook.Header, *preparationFault) {
	w := &t.job.Webhook
	headers := make([]webhook.Header, len(w.Headers))
	for i, h := range w.Headers {
		headers[i] = webhook.Header{Name: h.Name, Value: h.Value}
		if h.Sealed == nil { // stored by an older version
			continue
		}
		value, err := t.Box.Open(h.Sealed, w.ID, delivery.HeaderField(h.Name))
		if err != nil {
			return nil, &preparationFault{
				reason: "The header " + h.Name + " cannot be opened: set its value again, then replay the delivery",
				err:    err, otherWorker: errors.Is(err, seal.ErrUnknownKey),
			}
		}
		headers[i].Value = string(value)
	}
	return headers, nil
}

// auth opens the credentials that the webhook has now; nil for none.
func (t *attempt) auth() (*webhook.Auth, *preparationFault) {
	w := &t.job.Webhook
	if w.Auth == nil {
		return nil, nil
	}
	secret, err := t.Box.Open(w.Auth.Sealed, w.ID, delivery.AuthField)
	if err != nil {
		return nil, &preparationFault{
			reason: "The credentials (auth) cannot be opened: set them again, then replay the delivery",
			err:    err, otherWorker: errors.Is(err, seal.ErrUnknownKey),
		}
	}
	return &webhook.Auth{
		Type: w.Auth.Type, User: w.Auth.User, Secret: string(secret), TokenURL: w.Auth.TokenURL, Scopes: w.Auth.Scopes,
	}, nil
}

// sendRequest sends the request, or gives the answer of a request that another worker may be able to make.
func (t *attempt) sendRequest(ctx context.Context, req webhook.Request, fault *preparationFault) webhook.Response {
	if fault == nil {
		ctx, span := t.startSpan(ctx, &req)
		resp := t.Client.Send(ctx, req)
		t.endSpan(span, req.Profile, resp)
		return resp
	}
	t.Logger.WarnContext(ctx, "this worker cannot prepare the delivery", "delivery_id", t.in.DeliveryID,
		"webhook_id", t.job.Webhook.ID, "error", fault.err)
	return fault.response()
}

// fail ends the delivery because of a fault. Nothing was sent, so there is no attempt to record. When the fault was
// found in a batch, ownWorkflow is the id of the delivery's own workflow, which then shows the failure.
func (t *attempt) fail(ctx context.Context, fault *preparationFault, ownWorkflow string) error {
	ended, err := delivery.FailDelivery(ctx, t.DB, delivery.Failure{
		DeliveryID: t.in.DeliveryID, Generation: t.in.Generation, Attempt: t.in.Attempt, Reason: fault.reason,
		WorkflowID: t.workflow, NextWorkflowID: ownWorkflow,
	})
	if err != nil || !ended {
		return err
	}
	t.noteMoved(t.job.IsOrdered())
	unpreparedTotal.Inc()
	t.Logger.ErrorContext(ctx, "delivery cannot be prepared",
		"delivery_id", t.in.DeliveryID, "webhook_id", t.job.Webhook.ID, "error", fault.err)
	return nil
}
