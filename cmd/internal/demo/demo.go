// Package demo shows Greenroom to a new customer: it registers a receiver, runs one interview and prints its webhooks.
//
// It is an ordinary client, over HTTP with a key and with a receiver that verifies signatures, so that it
// shows what a customer's system would receive. It deletes its webhook, but
// leaves job, candidate and interview for inspection.
package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"greenroom/cmd/internal/client"
	"greenroom/cmd/internal/listen"
)

// interviewEvents are the events of a successful interview, in order of occurrence.
var interviewEvents = []string{"interview.started", "interview.completed", "analysis.completed"}

// Options configures Run.
type Options struct {
	client.Settings
	Out io.Writer
	// Receiver configures a failing receiver. Its Fail counts only the interview's deliveries: the ping is always
	// accepted. Secret and OnDelivery are set by Run.
	Receiver listen.Options
	// Keep does not delete the webhook.
	Keep bool
	// Wait bounds the time from the interview's creation to its last delivery.
	Wait time.Duration
}

// Run registers a receiver, creates an interview and returns when its three deliveries have arrived and been verified.
// It returns the error of ctx if that ends first.
func Run(ctx context.Context, opts Options) (err error) {
	d := &demo{
		opts: opts, api: client.New(opts.Settings), arrived: make(chan listen.Delivery, 64),
		printer: listen.NewPrinter(opts.Out, false),
	}
	if err := d.receive(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.server.Close()) }()
	if err := d.register(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.unregister(ctx)) }()
	if err := d.ping(ctx); err != nil {
		return err
	}
	if err := d.createInterview(ctx); err != nil {
		return err
	}
	if err := d.watch(ctx); err != nil {
		return err
	}
	d.whereToLook(ctx)
	return nil
}

type demo struct {
	opts     Options
	api      *client.Client
	printer  *listen.Printer
	receiver *listen.Receiver
	server   *listen.Server
	arrived  chan listen.Delivery

	webhookID, interviewID string
	last                   string // delivery
}

type created struct {
	ID            string `json:"id"`
	SigningSecret string `json:"signingSecret"`
}

func (d *demo) receive(ctx context.Context) error {
	opts := d.opts.Receiver
	opts.Fail = 0
	opts.OnDelivery = func(got listen.Delivery) {
		select {
		case d.arrived <- got:
		case <-ctx.Done():
		}
	}
	receiver, err := listen.New(opts)
	if err != nil {
		return err
	}
	d.receiver = receiver
	d.server, err = listen.Serve(ctx, "127.0.0.1:0", receiver)
	if err == nil {
		d.step("Receiver", d.server.URL)
	}
	return err
}

func (d *demo) register(ctx context.Context) error {
	var webhook created
	err := d.create(ctx, "webhook", "/webhooks", object{
		"url": d.server.URL + "webhooks", "name": "Demo receiver", "events": append([]string{"ping"}, interviewEvents...),
	}, &webhook)
	if err != nil {
		return err
	}
	d.webhookID = webhook.ID
	if err := d.receiver.SetSecret(webhook.SigningSecret); err != nil {
		return errors.Join(fmt.Errorf("create webhook: the response has no usable signingSecret: %w", err), d.unregister(ctx))
	}
	return nil
}

// unregister also runs after Ctrl-C: a remaining webhook would collect failures on a closed port.
func (d *demo) unregister(ctx context.Context) error {
	if d.opts.Keep {
		d.step("Webhook", d.webhookID+" kept; its receiver stops with this demo")
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err := d.api.Do(ctx, http.MethodDelete, "/webhooks/"+d.webhookID, nil, nil); err != nil {
		return fmt.Errorf("delete webhook %s: %w", d.webhookID, err)
	}
	d.step("Webhook", d.webhookID+" deleted (use --keep to keep it)")
	return nil
}

func (d *demo) ping(ctx context.Context) error {
	var result struct {
		Success    bool   `json:"success"`
		Message    string `json:"message"`
		DurationMs int    `json:"durationMs"`
	}
	if err := d.api.Do(ctx, http.MethodPost, "/webhooks/"+d.webhookID+"/test", nil, &result); err != nil {
		return fmt.Errorf("test webhook: %w", err)
	}
	if !result.Success {
		return fmt.Errorf("test webhook: %s", result.Message)
	}
	d.step("Ping", fmt.Sprintf("%s (%d ms)", result.Message, result.DurationMs))
	return d.await(ctx, 5*time.Second, []string{"ping"}, func(listen.Delivery) bool { return true })
}

func (d *demo) createInterview(ctx context.Context) error {
	d.receiver.FailNext(d.opts.Receiver.Fail)
	var job, agent, candidate, interview created
	err := d.create(ctx, "job", "/jobs", object{
		"title": "Backend engineer", "description": "Builds services that do not lose work.",
		"requiredSkills": []string{"Go", "PostgreSQL", "Kubernetes"},
	}, &job)
	if err != nil {
		return err
	}
	err = d.create(ctx, "agent", "/agents", object{
		"name": "Screening by telephone", "type": "PHONE", "focus": "SCREENING", "language": "EN", "duration": 15,
		"questions": []string{"What did you last build in Go?", "When did PostgreSQL surprise you?", "When can you start?"},
	}, &agent)
	if err != nil {
		return err
	}
	err = d.create(ctx, "candidate", "/candidates", object{
		"firstName": "Demo", "lastName": "Candidate", "email": fmt.Sprintf("demo-%d@example.com", time.Now().UnixMilli()),
		"phoneNumber": "+421900000000", "jobId": job.ID, "gdprExpiryDate": time.Now().AddDate(1, 0, 0).Format(time.DateOnly),
	}, &candidate)
	if err != nil {
		return err
	}
	err = d.create(ctx, "interview", "/interviews", object{
		"candidateId": candidate.ID, "jobId": job.ID, "agentId": agent.ID,
	}, &interview)
	d.interviewID = interview.ID
	return err
}

// watch shows the interview's deliveries as they arrive. Other interviews of the company reach the same receiver.
func (d *demo) watch(ctx context.Context) error {
	fmt.Fprintln(d.opts.Out, "\nThe simulator answers the call; the interview's webhooks arrive here:")
	err := d.await(ctx, d.opts.Wait, interviewEvents, func(got listen.Delivery) bool {
		var body struct {
			Data struct {
				InterviewID string `json:"interviewId"`
			} `json:"data"`
		}
		return json.Unmarshal(got.Body, &body) == nil && body.Data.InterviewID == d.interviewID
	})
	if err != nil {
		return d.explain(ctx, err)
	}
	fmt.Fprintf(
		d.opts.Out,
		"\n%s\n",
		d.printer.Good("All three arrived and verified: "+strings.Join(interviewEvents, " → ")),
	)
	return nil
}

// explain adds the state of the interview to a timeout.
func (d *demo) explain(ctx context.Context, err error) error {
	var late *missingError
	if !errors.As(err, &late) {
		return err
	}
	var interview struct {
		Status string `json:"status"`
	}
	if e := d.api.Do(ctx, http.MethodGet, "/interviews/"+d.interviewID, nil, &interview); e != nil {
		return errors.Join(err, fmt.Errorf("read interview: %w", e))
	}
	return fmt.Errorf("%w; interview %s is %s, and GET /deliveries?webhookId=%s shows its deliveries",
		err, d.interviewID, interview.Status, d.webhookID)
}

func (d *demo) whereToLook(ctx context.Context) {
	d.step("Interview", d.opts.Page("/interviews/"+d.interviewID))
	d.step("Deliveries", d.opts.Page("/deliveries?webhookId="+d.webhookID))
	d.step("The last one", d.opts.Link(ctx, "/deliveries/"+d.last))
	if d.opts.TemporalUI != "" {
		d.step("Temporal UI", d.opts.TemporalUI)
	}
}

type object = map[string]any

func (d *demo) create(ctx context.Context, what, path string, body object, out *created) error {
	if err := d.api.Do(ctx, http.MethodPost, path, body, out); err != nil {
		return fmt.Errorf("create %s: %w", what, err)
	}
	if out.ID == "" {
		return fmt.Errorf("create %s: the response has no id", what)
	}
	d.step("Created", what+" "+out.ID)
	return nil
}

func (d *demo) step(label, text string) {
	fmt.Fprintf(d.opts.Out, "%s %s\n", d.printer.Bold(fmt.Sprintf("%-12s", label)), text)
}

// missingError is a timeout with the events that did not arrive.
type missingError struct {
	events []string
	after  time.Duration
}

func (e *missingError) Error() string {
	return fmt.Sprintf("not received after %v: %s", e.after, strings.Join(e.events, ", "))
}

// await prints the interview's deliveries until one of each event was accepted and verified. They can arrive in
// another order than they occurred if the receiver refuses some: webhooks have no guaranteed order.
func (d *demo) await(
	ctx context.Context,
	patience time.Duration,
	events []string,
	ours func(listen.Delivery) bool,
) error {
	missing := slices.Clone(events)
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	for len(missing) > 0 {
		select {
		case got := <-d.arrived:
			if !ours(got) {
				continue
			}
			d.printer.Print(got)
			d.last = got.ID
			if !got.Verified {
				return fmt.Errorf("delivery %s of %s did not verify: %s", got.ID, got.Event, got.Reason)
			}
			if got.Status < 300 {
				missing = slices.DeleteFunc(missing, func(event string) bool { return event == got.Event })
			}
		case <-timeout.C:
			return &missingError{events: missing, after: patience}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
