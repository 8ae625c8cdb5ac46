package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/activities/webhook"
	"greenroom/activities/webhook/profiles"
	"greenroom/api/surface"
	"greenroom/db/catalog"
	"greenroom/db/delivery"
	"greenroom/db/pg"
)

// Messages of a test call (reference §1.10, §2.4).
const (
	testWorked        = "Webhook test successful!"
	testFailed        = "Webhook test failed: "
	testNotSubscribed = "Webhook is not subscribed to ping events. Add event type 2 (ping) to the webhook configuration."
	testAddPing       = "Webhook is not subscribed to ping events. Add the ping event to the webhook configuration."
	testNotCreated    = "No delivery was created. This may indicate the webhook is disabled or circuit breaker is open."
)

// The outcome is polled with increasing intervals: tests are rare, and a worker usually needs some 30 ms. testGrace is
// the time that a worker gets, beside the receiver's timeout, to claim the delivery and record the attempt.
const (
	firstPoll = 25 * time.Millisecond
	lastPoll  = 100 * time.Millisecond
	testGrace = 5 * time.Second
)

// A test waits up to 35 s and polls the database, so the number of tests in progress is limited: of one company, and of
// each process.
const (
	testsEach  = 10
	testsTotal = 100
	testWait   = 100 * time.Millisecond
)

// TestResult is the result of a test of a webhook; a failed test only has a message.
type TestResult struct {
	Success    bool       `json:"success"`
	DeliveryID *uuid.UUID `json:"deliveryId,omitempty"`
	HTTPStatus *int       `json:"httpStatus,omitempty"`
	DurationMS *int       `json:"durationMs,omitempty"`
	Message    string     `json:"message"`
	// AuthorizationKey is the key that deliveries carry, for profiles that have one: a test call reveals it.
	AuthorizationKey string `json:"authorizationKey,omitempty"`
}

// testInput is the body of a test. Other fields of a body are ignored, and bodies that are not JSON: the reference has
// none.
type testInput struct {
	// Type is the event type of the sample to send; "": a ping.
	Type string `json:"type"`
}

func testInputOf(c *gin.Context) (in testInput, err error) {
	if media := c.ContentType(); media != "" && media != "application/json" || !surface.HasBody(c.Request) {
		return in, nil
	}
	return surface.BindKnown[testInput](c)
}

// testWebhook sends a ping, or a sample of an event, through the worker and waits for its outcome. The envelope reports
// success in either case; the result inside reports the outcome of the test (reference §2.4).
func (s *server) testWebhook(c *gin.Context) error {
	w, err := s.webhook(c)
	if err != nil {
		return err
	}
	p, err := surface.ProfileOf(w.Profile)
	if err != nil {
		return err
	}
	in, err := testInputOf(c)
	if err != nil {
		return err
	}
	e, err := s.testEvent(c, p, w, in.Type)
	if err != nil {
		return err
	}
	release, got := s.tests.Acquire(c.Request.Context(), surface.Owner(c), 1)
	if !got {
		return surface.RateLimited("Too many tests of webhooks are in progress", testsEach, testGrace)
	}
	defer release()
	result, err := sendTest(c.Request.Context(), s.DB, p, w, e)
	if err != nil {
		return err
	}
	if p.KeyHeader != "" {
		secret, err := s.Box.Open(w.Secret, w.ID, delivery.SecretField)
		if err != nil {
			return err
		}
		result.AuthorizationKey = AuthorizationKey(w, secret)
	}
	return ok(c, http.StatusOK, result)
}

// TestWebhook sends a test through a worker and waits for its outcome, as the route without a type does.
func TestWebhook(ctx context.Context, d *bun.DB, w *delivery.Webhook) (*TestResult, error) {
	p, err := surface.ProfileOf(w.Profile)
	if err != nil {
		return nil, err
	}
	e, err := defaultTest(p, w)
	if err != nil {
		return nil, err
	}
	return sendTest(ctx, d, p, w, e)
}

// defaultTest makes the event of a test that names no type: a ping, or the sample of the webhook's first event if the
// profile's contract says so.
func defaultTest(p *webhook.Profile, w *delivery.Webhook) (*delivery.Event, error) {
	if !p.SampleTest {
		return pingOf(w), nil
	}
	return sampleEvent(w, w.Events[0])
}

func pingOf(w *delivery.Webhook) *delivery.Event {
	return &delivery.Event{CompanyID: w.Company(), Type: catalog.Ping, Data: surface.Encoded(gin.H{
		"message": "This is a test ping from Greenroom", "webhookId": w.ID,
	})}
}

// testEvent makes the event that a test sends: a ping, or the sample of a type.
func (s *server) testEvent(
	c *gin.Context, p *webhook.Profile, w *delivery.Webhook, name string,
) (*delivery.Event, error) {
	switch name {
	case "":
		return defaultTest(p, w)
	case catalog.Ping:
		return pingOf(w), nil
	}
	eventType, custom, err := s.testEventOf(c.Request.Context(), p, w.Company(), name)
	if err != nil {
		return nil, err
	}
	if custom == nil {
		return sampleEvent(w, eventType)
	}
	sample, err := s.customSample(c, custom)
	if err != nil {
		return nil, err
	}
	if sample == nil {
		return nil, surface.InvalidState(noSample, surface.Details{"type": eventType})
	}
	return &delivery.Event{CompanyID: w.Company(), Type: eventType, Data: sample.Data}, nil
}

// sampleEvent makes the event of the sample of a type of the catalogue.
func sampleEvent(w *delivery.Webhook, eventType string) (*delivery.Event, error) {
	sample, found := profiles.SampleOf(eventType)
	if !found {
		return nil, fmt.Errorf("the catalogue has no sample of %s", eventType)
	}
	e := &delivery.Event{CompanyID: w.Company(), Type: eventType, Data: sample.Data}
	if sample.Context != nil {
		e.Context = surface.Encoded(sample.Context)
	}
	return e, nil
}

// sendTest sends the event to this webhook alone. If the profile has a ping event, the webhook must be subscribed to it
// to get a ping; the sample of another type is sent to any webhook.
func sendTest(
	ctx context.Context, d *bun.DB, p *webhook.Profile, w *delivery.Webhook, e *delivery.Event,
) (*TestResult, error) {
	if e.Type == catalog.Ping && p.Takes(catalog.Ping) && !slices.Contains(w.Events, catalog.Ping) {
		if p.Numbered == 0 {
			return &TestResult{Message: testAddPing}, nil
		}
		return &TestResult{Message: testNotSubscribed}, nil
	}
	id, err := recordTest(ctx, d, w, e)
	if errors.Is(err, pg.ErrConflict) {
		return &TestResult{Message: testNotCreated}, nil
	}
	if err != nil {
		return nil, err
	}
	limit := time.Duration(w.TimeoutMS)*time.Millisecond + testGrace
	made, err := awaitTest(ctx, d, id, limit)
	if err != nil {
		return nil, err
	}
	return outcome(ctx, d, made, limit)
}

// recordTest records the event and its single delivery.
func recordTest(ctx context.Context, d *bun.DB, w *delivery.Webhook, e *delivery.Event) (id uuid.UUID, err error) {
	err = pg.InTx(ctx, d, func(ctx context.Context, tx bun.Tx) error {
		id, err = delivery.RecordTest(ctx, tx, e, w.ID)
		return err
	})
	return id, err
}

// awaitTest returns the delivery once it has ended or is paused, or its current state when the limit has passed.
func awaitTest(ctx context.Context, d *bun.DB, id uuid.UUID, limit time.Duration) (*delivery.Delivery, error) {
	deadline := time.Now().Add(limit)
	for wait := firstPoll; ; wait = min(wait*3/2, lastPoll) {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(wait):
		}
		made, err := delivery.GetDelivery(ctx, d, pg.Scope{}, id)
		if err != nil {
			return nil, err
		}
		if made.Status.Ended() || made.Status == delivery.Paused || time.Now().After(deadline) {
			return made, nil
		}
	}
}

// outcome converts the state of a test's delivery to a result.
func outcome(
	ctx context.Context, d *bun.DB, made *delivery.Delivery, limit time.Duration,
) (*TestResult, error) {
	switch made.Status {
	case delivery.Succeeded:
		return passed(ctx, d, made)
	case delivery.Failed:
		return &TestResult{Message: testFailed + failure(made)}, nil
	case delivery.Canceled:
		return &TestResult{Message: testFailed + "the webhook was deleted"}, nil
	case delivery.Paused:
		return &TestResult{Message: testFailed + "the webhook was disabled or its circuit opened during the test"}, nil
	case delivery.Pending, delivery.Retrying:
	}
	seconds := strconv.FormatFloat(limit.Seconds(), 'f', -1, 64)
	return &TestResult{Message: testFailed + "no worker took the delivery within " + seconds + " s"}, nil
}

func passed(ctx context.Context, d *bun.DB, made *delivery.Delivery) (*TestResult, error) {
	attempts, err := delivery.ListAttempts(ctx, d, made.ID)
	if err != nil {
		return nil, err
	}
	r := &TestResult{Success: true, DeliveryID: &made.ID, HTTPStatus: made.LastStatusCode, Message: testWorked}
	if n := len(attempts); n > 0 {
		r.DurationMS = &attempts[n-1].DurationMS
	}
	return r, nil
}

// failure says why the last attempt failed.
func failure(d *delivery.Delivery) string {
	switch {
	case d.LastError != nil && *d.LastError != "":
		return *d.LastError
	case d.LastStatusCode != nil:
		return fmt.Sprintf("HTTP %d", *d.LastStatusCode)
	}
	return "the reason is not known"
}
