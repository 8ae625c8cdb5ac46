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
	"github.com/uptrace/bun"

	"greenroom/activities/webhook/profiles"
	"greenroom/api/eventschema"
	"greenroom/api/surface"
	"greenroom/db"
	"greenroom/db/delivery"
)

func (s *server) eventRoutes() []surface.Route {
	return append([]surface.Route{
		surface.Post("/events", publishScope, s.publishEvents).Recognizing().MaxBody(maxArrayBody),
		surface.List("/events", "read:events", s.listEvents, "after", "types", "wait", "limit").Weighs(0),
		surface.List("/events/newest", "read:events", s.listNewestEvents, "types", "since", "until", "cursor", "limit").
			Weighs(feedWeight),
		surface.Get("/events/:id", "read:events", s.getEvent),
		surface.List("/events/:id/fan-out", "read:deliveries|read:webhooks", s.listFanOut, "webhookId", "page", "limit"),
	}, s.eventTypeRoutes()...)
}

const (
	publishScope = "write:events"
	// maxArrayBody limits the body of an array of events, in bytes. One event is limited to surface.MaxBody.
	maxArrayBody = 4 << 20
	// maxEvents limits the events in one request.
	maxEvents = 1000
)

// publishEvents accepts one event or an array of events. When it answers, the accepted events are stored, each with
// one delivery per subscribed webhook.
func (s *server) publishEvents(c *gin.Context) error {
	r, err := readPublishRequest(c)
	if err != nil {
		return err
	}
	if err := s.checkPublications(c, r); err != nil {
		return err
	}
	events := r.events()
	if len(events) == 0 {
		return s.answerRefused(c, r)
	}
	return s.storeEvents(c, r, events)
}

type eventInput struct {
	Type      string     `json:"type" validate:"required"`
	CompanyID *uuid.UUID `json:"companyId"`
	// Subject is what the event is about; nil: see publication.subject.
	Subject *string `json:"subject"`
	// Data is stored and sent byte for byte as received.
	Data json.RawMessage `json:"data" validate:"required,object"`
}

// publishRequest is the body of one POST /events.
type publishRequest struct {
	body         []byte
	isArray      bool
	publications []*publication // exactly one unless isArray
}

// publication is one published object: the body itself or one element of an array. It becomes one event, or several
// where the contract of its type sends one event per list element (eventlist.go).
type publication struct {
	eventInput
	company uuid.UUID
	refused *surface.Error // nil: valid so far
	events  []*delivery.Event
}

// readPublishRequest decodes the body without any query: it does not check that a company named by a platform key
// exists.
func readPublishRequest(c *gin.Context) (*publishRequest, error) {
	body, err := surface.ReadBody(c)
	if err != nil {
		return nil, err
	}
	r := &publishRequest{body: body, isArray: surface.IsArray(body)}
	objects := []json.RawMessage{body}
	if r.isArray {
		if objects, err = splitArray(body); err != nil {
			return nil, err
		}
	}
	for _, object := range objects {
		p := &publication{}
		if err := p.refuse(p.read(c, object)); err != nil {
			return nil, err
		}
		r.publications = append(r.publications, p)
	}
	return r, nil
}

// splitArray returns the elements of an array unchanged and unchecked.
func splitArray(raw []byte) ([]json.RawMessage, error) {
	var elements []json.RawMessage
	if err := surface.CheckSyntax(raw); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(raw, &elements); err != nil {
		return nil, fmt.Errorf("split array: %w", err)
	}
	if len(elements) == 0 || len(elements) > maxEvents {
		return nil, surface.BadBody(fmt.Sprintf("The array must have 1 to %d events; it has %d", maxEvents, len(elements)))
	}
	return elements, nil
}

func (p *publication) read(c *gin.Context, raw []byte) (err error) {
	if p.eventInput, err = surface.Decode[eventInput](raw); err != nil {
		return err
	}
	if !profiles.Publishable(p.Type) && !isCustomTypeName(p.Type) {
		return unknownType(p.Type)
	}
	if err := p.checkSubject(); err != nil {
		return err
	}
	p.company, err = surface.CompanyID(c, p.CompanyID)
	return err
}

// refuse marks the publication as refused when err is an *surface.Error, and returns any other error.
func (p *publication) refuse(err error) error {
	if err == nil || errors.As(err, &p.refused) {
		return nil
	}
	return err
}

// checkPublications makes the events of each publication that is valid, and marks the others as refused. For the
// elements of an array it also checks that the companies exist; for a single event storeEvents does, which saves a
// query.
func (s *server) checkPublications(c *gin.Context, r *publishRequest) error {
	ctx := c.Request.Context()
	registered, err := s.registeredSchemas(ctx, r)
	if err != nil {
		return err
	}
	if err := s.checkSchemas(c, r, registered); err != nil {
		return err
	}
	if r.isArray && surface.Caller(c).Platform() {
		return s.checkCompanies(ctx, r)
	}
	return nil
}

// checkSchemas checks the publications within the budgets of the request and of the caller's company.
func (s *server) checkSchemas(c *gin.Context, r *publishRequest, registered map[db.EventTypeKey]string) error {
	limits := &requestLimits{Budget: eventschema.NewBudget()}
	if slices.ContainsFunc(r.valid(), (*publication).hasSchema) {
		end, err := s.checks.begin(c.Request.Context(), surface.Owner(c))
		if err != nil {
			return err
		}
		defer func() { end(limits.Spent()) }()
	}
	for _, p := range r.valid() {
		if err := p.refuse(p.check(registered, limits)); err != nil {
			return err
		}
	}
	return nil
}

// registeredSchemas reads, in one query, the schemas of the types that companies have registered. It reads them for
// every request, so a new or changed type applies from the next request on. Types of the catalogue need no query.
func (s *server) registeredSchemas(ctx context.Context, r *publishRequest) (map[db.EventTypeKey]string, error) {
	seen := map[db.EventTypeKey]bool{}
	var keys []db.EventTypeKey
	for _, p := range r.valid() {
		if key := p.typeKey(); !profiles.Publishable(p.Type) && !seen[key] {
			seen[key] = true
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return nil, nil
	}
	return db.EventTypeSchemas(ctx, s.DB, keys)
}

// hasSchema reports whether the data is checked: each custom type has a schema.
func (p *publication) hasSchema() bool {
	return !profiles.Publishable(p.Type) || profiles.SchemaOf(p.Type) != nil
}

func (p *publication) typeKey() db.EventTypeKey {
	return db.EventTypeKey{CompanyID: p.company, Name: p.Type}
}

// requestLimits bounds all publications of one request together.
type requestLimits struct {
	*eventschema.Budget
	size int // bytes of event data made from lists
}

// check validates the data against the schema of its type and makes the events. It returns an *surface.Error to
// refuse the publication.
func (p *publication) check(registered map[db.EventTypeKey]string, limits *requestLimits) error {
	schema := profiles.SchemaOf(p.Type)
	if !profiles.Publishable(p.Type) {
		text, found := registered[p.typeKey()]
		if !found {
			return unknownType(p.Type)
		}
		schema = json.RawMessage(text)
	}
	parts, err := splitList(p.Type, p.Data, &limits.size)
	if err != nil {
		return err
	}
	if err := p.validate(schema, parts, limits); err != nil {
		return err
	}
	for _, part := range parts {
		p.events = append(p.events, &delivery.Event{
			CompanyID: &p.company, Type: p.Type, Data: part.data, Subject: p.subject(part.data),
		})
	}
	return nil
}

// validate checks each part against the schema; nil allows any data.
func (p *publication) validate(schema json.RawMessage, parts []part, limits *requestLimits) error {
	if schema == nil {
		return nil
	}
	compiled, err := limits.Compile(schema)
	if err != nil {
		return p.schemaError(part{}, err)
	}
	for _, part := range parts {
		if err := limits.Validate(compiled, part.data); err != nil {
			return p.schemaError(part, err)
		}
	}
	return nil
}

// schemaError turns a fault in the data of a part into a refusal, and returns any other error unchanged.
func (p *publication) schemaError(part part, err error) error {
	var fault *eventschema.Fault
	if errors.As(err, &fault) {
		return schemaMismatch(p.Type, part.publishedPath(fault.Path), fault.Message)
	}
	return err
}

// schemaMismatch refuses data that does not match the schema of its type; path is a JSON pointer into the data.
func schemaMismatch(eventType, path, message string) *surface.Error {
	fault := eventschema.Fault{Path: path, Message: message}
	return &surface.Error{
		Status:  http.StatusUnprocessableEntity,
		Code:    surface.CodeValidation,
		Message: "data does not fit the schema of " + eventType + ": " + fault.Error(),
		Details: surface.Details{"field": "data", "path": path, "message": message},
	}
}

// checkCompanies refuses publications for a company that does not exist. Only a platform key can name one.
func (s *server) checkCompanies(ctx context.Context, r *publishRequest) error {
	var ids []uuid.UUID
	for _, p := range r.valid() {
		if !slices.Contains(ids, p.company) {
			ids = append(ids, p.company)
		}
	}
	existing, err := db.ExistingCompanies(ctx, s.DB, ids)
	if err != nil {
		return err
	}
	for _, p := range r.valid() {
		if !slices.Contains(existing, p.company) {
			p.refused = surface.NotFound("Company", p.company.String())
		}
	}
	return nil
}

func (r *publishRequest) valid() (valid []*publication) {
	for _, p := range r.publications {
		if p.refused == nil {
			valid = append(valid, p)
		}
	}
	return valid
}

func (r *publishRequest) events() (events []*delivery.Event) {
	for _, p := range r.valid() {
		events = append(events, p.events...)
	}
	return events
}

// storeEvents stores the events and answers. They are recorded in a group with the events of other requests. When the
// API key or company was modified since it was read, or the Idempotency-Key is taken, the request gets a transaction of
// its own.
func (s *server) storeEvents(c *gin.Context, r *publishRequest, events []*delivery.Event) error {
	ctx := c.Request.Context()
	var companies []uuid.UUID // that must exist; checkPublications has checked those of an array
	if !r.isArray && surface.Caller(c).Platform() {
		companies = []uuid.UUID{r.publications[0].company}
	}
	answer := &publishAnswer{request: r}
	submission := delivery.Submission{
		Events: events, Key: surface.Caller(c).Key.Seen(), Companies: companies,
		Idempotency: s.Idempotency(c, r.body, answer.render),
	}
	deliveries, err := s.events.Record(ctx, submission)
	if errors.Is(err, delivery.ErrPreconditionFailed) || errors.Is(err, delivery.ErrKeyTaken) {
		return s.storeAlone(c, r, events, companies)
	}
	if err != nil {
		return err
	}
	if submission.Idempotency == nil {
		if _, _, err := answer.render(deliveries); err != nil {
			return err
		}
	}
	surface.RespondJSON(c, answer.status, answer.body)
	return nil
}

// publishAnswer is the answer to a request, made once: the client gets the bytes that are stored with its
// Idempotency-Key.
type publishAnswer struct {
	request *publishRequest
	status  int
	body    []byte
}

func (a *publishAnswer) render(deliveries []int) (status int, body []byte, err error) {
	var data any
	a.status, data = a.request.answer(deliveries)
	a.body, err = json.Marshal(wrapped(data))
	return a.status, a.body, err
}

// storeAlone stores the events in a transaction of their own, or repeats the answer that is stored for the
// Idempotency-Key.
func (s *server) storeAlone(
	c *gin.Context, r *publishRequest, events []*delivery.Event, companies []uuid.UUID,
) error {
	if err := s.Confirm(c, publishScope); err != nil {
		return err
	}
	for _, id := range companies {
		if err := s.MustExist(c.Request.Context(), id); err != nil {
			return err
		}
	}
	return s.Once(c, r.body, func(ctx context.Context, tx bun.Tx) (int, any, error) {
		deliveries, err := delivery.RecordEvents(ctx, tx, events)
		if err != nil {
			return 0, nil, err
		}
		status, data := r.answer(deliveries)
		return status, wrapped(data), nil
	})
}

// errAllRefused rolls back the transaction of an array without a valid event.
var errAllRefused = errors.New("all events are refused")

// answerRefused answers a request without a valid event. If the same request was answered before under its
// Idempotency-Key, it repeats that answer: the request may have been valid before its schema or type changed.
func (s *server) answerRefused(c *gin.Context, r *publishRequest) error {
	refusal := errAllRefused
	if !r.isArray {
		refusal = r.publications[0].refused
	}
	if c.GetHeader(surface.IdempotencyHeader) != "" {
		if err := s.Confirm(c, publishScope); err != nil {
			return err
		}
		err := s.Once(c, r.body, func(context.Context, bun.Tx) (int, any, error) { return 0, nil, refusal })
		if !errors.Is(err, refusal) {
			return err // nil if the answer was repeated
		}
	}
	if !r.isArray {
		return refusal
	}
	if err := s.Confirm(c, publishScope); err != nil {
		return err
	}
	status, data := r.answer(nil)
	return ok(c, status, data)
}

// eventAccepted is the answer to one publication. If it became several events, ID is that of the first, Deliveries
// is the total, and Events lists them.
type eventAccepted struct {
	ID         uuid.UUID       `json:"id"`
	Type       string          `json:"type"`
	Deliveries int             `json:"deliveries"`
	Events     []eventAccepted `json:"events,omitempty"`
}

// eventsPublished is the answer to an array: one result per element, in the same order.
type eventsPublished struct {
	Accepted int           `json:"accepted"`
	Refused  int           `json:"refused"`
	Results  []eventResult `json:"results"`
}

// eventResult is what the element would have been answered in a request of its own.
type eventResult struct {
	Success bool           `json:"success"`
	Data    *eventAccepted `json:"data"`
	Error   *surface.Error `json:"error"`
}

// answer returns the status and data of the response; deliveries has a number for each of r.events(). An array with
// a refused element is answered 207, even when all are refused: its results say which.
func (r *publishRequest) answer(deliveries []int) (status int, data any) {
	if !r.isArray {
		return http.StatusAccepted, r.publications[0].accepted(deliveries)
	}
	out := eventsPublished{Results: make([]eventResult, len(r.publications))}
	for i, p := range r.publications {
		if p.refused != nil {
			out.Refused++
			out.Results[i].Error = p.refused
			continue
		}
		out.Accepted++
		out.Results[i] = eventResult{Success: true, Data: p.accepted(deliveries[:len(p.events)])}
		deliveries = deliveries[len(p.events):]
	}
	if out.Refused > 0 {
		return http.StatusMultiStatus, out
	}
	return http.StatusAccepted, out
}

func (p *publication) accepted(deliveries []int) *eventAccepted {
	out := &eventAccepted{ID: p.events[0].ID, Type: p.Type}
	for i, e := range p.events {
		out.Deliveries += deliveries[i]
		if len(p.events) > 1 {
			out.Events = append(out.Events, eventAccepted{ID: e.ID, Type: e.Type, Deliveries: deliveries[i]})
		}
	}
	return out
}
