package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"greenroom/activities/webhook"
	"greenroom/activities/webhook/profiles"
	"greenroom/api/eventschema"
	"greenroom/api/surface"
	"greenroom/db"
	"greenroom/db/catalog"
	"greenroom/db/pg"
)

// samplesOutput has an example of an event, and what receivers of each profile get of it.
type samplesOutput struct {
	Type string `json:"type"`
	// Data is the event's data, as POST /events accepts it; null: there is no sample.
	Data json.RawMessage `json:"data"`
	// Reason says why there is no sample.
	Reason  *string        `json:"reason"`
	Samples []sampleOutput `json:"samples"`
}

// sampleOutput is one delivery. Its ids, times and links are those of an example.
type sampleOutput struct {
	Profile string            `json:"profile"`
	Event   string            `json:"event"`
	Headers map[string]string `json:"headers"`
	// SignatureHeaders are the further headers, whose values depend on the webhook's secret.
	SignatureHeaders []string        `json:"signatureHeaders"`
	Body             json.RawMessage `json:"body"`
}

// noSample is the reason for a company's own type without a sample.
const noSample = "No example was found that fits the schema of this type: add one to the schema's examples"

// listSamples shows an example of an event of a type, as each profile, or ?profile=, sends it.
func (s *server) listSamples(c *gin.Context) error {
	name := c.Param("name")
	var one *profiles.Sample
	if sample, found := profiles.SampleOf(name); found {
		one = &sample
	} else {
		t, err := s.customType(c)
		if err != nil {
			return err
		}
		if one, err = s.customSample(c, t); err != nil {
			return err
		}
	}
	senders, err := sendersOf(c, name)
	if err != nil {
		return err
	}
	out, err := showSamples(name, one, senders)
	if err != nil {
		return err
	}
	return ok(c, http.StatusOK, out)
}

// customSample makes an example from the schema of a company's own type; nil if none was found. It counts against the
// budget for checks of the caller.
func (s *server) customSample(c *gin.Context, t *db.EventType) (*profiles.Sample, error) {
	end, err := s.checks.begin(c.Request.Context(), surface.Owner(c))
	if err != nil {
		return nil, err
	}
	budget := eventschema.NewBudget()
	defer func() { end(budget.Spent()) }()
	schema, err := budget.Compile([]byte(t.Schema))
	if err != nil {
		return nil, err
	}
	data, err := budget.Example(schema)
	if errors.Is(err, eventschema.ErrNoExample) {
		return nil, nil //nolint:nilnil // that there is none is an ordinary answer
	}
	if err != nil {
		return nil, err
	}
	return &profiles.Sample{Data: data}, nil
}

// sends reports whether webhooks of the profile can get an event of the type, which exists. A test sends ping to all.
func sends(p *webhook.Profile, eventType string) bool {
	return eventType == catalog.Ping || p.Takes(eventType) || p.Open
}

// sendersOf returns the profiles that send the type, or the one of ?profile=.
func sendersOf(c *gin.Context, eventType string) ([]*webhook.Profile, error) {
	senders := slices.DeleteFunc(profiles.All(), func(p *webhook.Profile) bool { return !sends(p, eventType) })
	wanted, sent := c.GetQuery("profile")
	if !sent {
		return senders, nil
	}
	p, err := surface.ProfileOf(wanted)
	if err != nil {
		return nil, err
	}
	if !sends(p, eventType) {
		names := make([]string, len(senders))
		for i, sender := range senders {
			names[i] = sender.Name
		}
		e := surface.Invalid("profile", fmt.Sprintf("profile %s does not send %s", p.Name, eventType))
		e.Details["provided"], e.Details["allowed"] = p.Name, names
		return nil, e
	}
	return []*webhook.Profile{p}, nil
}

// showSamples renders a sample as each of the profiles sends it; without a sample it says why.
func showSamples(eventType string, one *profiles.Sample, senders []*webhook.Profile) (*samplesOutput, error) {
	out := &samplesOutput{Type: eventType, Samples: []sampleOutput{}}
	if one == nil {
		reason := noSample
		out.Reason = &reason
		return out, nil
	}
	out.Data = one.Data
	for _, p := range senders {
		m := one.Message(p, eventType)
		body, err := p.Render(m)
		if err != nil {
			return nil, fmt.Errorf("render sample: %w", err)
		}
		header, signed, err := one.Header(p, m, body)
		if err != nil {
			return nil, fmt.Errorf("render sample: %w", err)
		}
		shown := sampleOutput{
			Profile: p.Name, Event: m.EventName, Headers: map[string]string{}, SignatureHeaders: signed, Body: body,
		}
		for name := range header {
			shown.Headers[name] = header.Get(name)
		}
		out.Samples = append(out.Samples, shown)
	}
	return out, nil
}

// testEventOf returns the type that a test of a webhook names: an event type that its profile sends, or the profile's
// name for one. company is the one whose own types the webhook may use. The refusal lists what is allowed. custom is
// the row of a company's own type.
func (s *server) testEventOf(
	ctx context.Context, p *webhook.Profile, company *uuid.UUID, name string,
) (eventType string, custom *db.EventType, err error) {
	if name == catalog.Ping || p.Takes(name) {
		return name, nil, nil
	}
	if types, err := p.ByName(name); err == nil {
		return types[0], nil, nil
	}
	if p.Open && company != nil && isCustomTypeName(name) {
		custom, err = db.GetEventType(ctx, s.DB, *company, name)
		if !errors.Is(err, pg.ErrNotFound) {
			return name, custom, err
		}
	}
	allowed, err := s.testable(ctx, p, company)
	if err != nil {
		return "", nil, err
	}
	e := surface.Invalid("type", "type must be an event type that the profile "+p.Name+" sends")
	e.Details["provided"], e.Details["allowed"] = surface.Clip(name), allowed
	return "", nil, e
}

// testable lists the event types that a webhook of the profile can be tested with.
func (s *server) testable(ctx context.Context, p *webhook.Profile, company *uuid.UUID) ([]string, error) {
	var names []string
	for _, e := range p.Events {
		names = append(names, e.Types...)
	}
	if !slices.Contains(names, catalog.Ping) {
		names = append(names, catalog.Ping)
	}
	if !p.Open || company == nil {
		return names, nil
	}
	own, err := db.ListEventTypes(ctx, s.DB, *company)
	if err != nil {
		return nil, err
	}
	for _, t := range own {
		names = append(names, t.Name)
	}
	return names, nil
}
