package api

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/api/surface"
	"greenroom/db"
	"greenroom/db/catalog"
	"greenroom/db/delivery"
	"greenroom/db/pg"
)

// sourcingRoutes find candidates through the configured service (reference §2.16). Their scopes are written the other
// way round, and their answers are not in the envelope, as there.
func (s *server) sourcingRoutes() []surface.Route {
	return []surface.Route{
		surface.Post("/sourcing", "sourcing:write", s.startSourcing).MaxBody(surface.SmallBody),
		surface.Patch("/sourcing/:id", "sourcing:write", s.refineSourcing).MaxBody(surface.SmallBody),
		surface.Get("/sourcing/:id/results", "sourcing:read", s.sourcingResults).Weighs(4 << 20),
		surface.Post("/sourcing/enrich", "enrich:write", s.startEnrichment).MaxBody(surface.SmallBody),
		surface.Get("/sourcing/enrich/:id/results", "enrich:write", s.enrichmentResults),
		surface.Post("/sourcing/render-html", "enrich:write", s.renderCards).MaxBody(surface.SmallBody),
		surface.Delete("/sourcing/profiles", "sourcing:write", s.deleteProfileOfQuery),
		surface.Delete("/sourcing/profiles/:id", "sourcing:write", func(c *gin.Context) error {
			return s.deleteProfile(c, c.Param("id"))
		}),
	}
}

// Limits of a sourcing request. The reference has those of a refinement; the default of a request is its example.
const (
	sourcingLimit   = 20
	refinementLimit = 10
)

// sourcingInput is the body of POST /sourcing.
type sourcingInput struct {
	Title          string     `json:"title" validate:"required,min=1,max=200"`
	JobDescription string     `json:"jobDescription" validate:"required,min=1,max=10000"`
	Location       string     `json:"location" validate:"max=255"`
	Query          string     `json:"query" validate:"max=500"`
	Limit          *int       `json:"limit" validate:"gte=1,lte=100"`
	WebhookID      *uuid.UUID `json:"webhookId"`
}

// refinementInput is the body of PATCH /sourcing/{id}: at least one of the two.
type refinementInput struct {
	Query string `json:"query" validate:"min=1,max=500"`
	Limit *int   `json:"limit" validate:"gte=1,lte=50"`
}

// runAccepted is the answer to a request that a service works on.
type runAccepted struct {
	Success   bool               `json:"success"`
	RequestID string             `json:"requestId"`
	Status    db.RunStatus       `json:"status"`
	Message   string             `json:"message"`
	WebhookID *uuid.UUID         `json:"webhookId,omitempty"`
	CreatedAt surface.Timestamp  `json:"createdAt"`
	UpdatedAt *surface.Timestamp `json:"updatedAt,omitempty"`
}

func acceptedRun(r *db.ServiceRun, message string) runAccepted {
	return runAccepted{
		Success: true, RequestID: r.RequestID(), Status: r.Status, Message: message, WebhookID: r.WebhookID,
		CreatedAt: surface.Timestamp(r.CreatedAt), UpdatedAt: surface.Maybe(&r.UpdatedAt),
	}
}

const (
	sourcingAccepted = "Sourcing run accepted and queued for processing."
	sourcingGoesOn   = "The sourcing agent is actively analyzing candidates. Please poll again in 10 seconds."
)

// notConfigured refuses a request that needs a service which the operator has not set up.
func notConfigured(what, setting string) *surface.Error {
	return &surface.Error{
		Status: http.StatusServiceUnavailable, Code: surface.CodeUnavailable,
		Message: "This installation has no " + what + ": its operator has not set " + setting,
		Details: surface.Details{"setting": setting},
	}
}

func (s *server) mustSource() error {
	if s.SourcingTimeout == 0 {
		return notConfigured("sourcing service", "sourcing.url")
	}
	return nil
}

// startSourcing answers 202: the service works on the request, and its end is an event.
func (s *server) startSourcing(c *gin.Context) error {
	company, err := s.CallerCompany(c)
	if err != nil {
		return err
	}
	raw, err := surface.ReadBody(c)
	if err != nil {
		return err
	}
	in, err := surface.Decode[sourcingInput](raw)
	if err != nil {
		return err
	}
	r := &db.ServiceRun{
		CompanyID: company, Kind: db.RunSourcing, WebhookID: in.WebhookID,
		Request: db.RunRequest{
			Title: in.Title, JobDescription: in.JobDescription, Location: in.Location, Query: in.Query, Limit: sourcingLimit,
		},
	}
	if in.Limit != nil {
		r.Request.Limit = *in.Limit
	}
	return s.startRun(c, raw, r, sourcingAccepted, catalog.SourcingCompleted, catalog.SourcingFailed)
}

// startRun stores a run of a webhook that takes at least one of the events of its end.
func (s *server) startRun(c *gin.Context, raw []byte, r *db.ServiceRun, message string, ends ...string) error {
	return s.Once(c, raw, func(ctx context.Context, tx bun.Tx) (int, any, error) {
		if err := s.mustSource(); err != nil {
			return 0, nil, err
		}
		if err := checkRunWebhook(ctx, tx, r, ends); err != nil {
			return 0, nil, err
		}
		if err := checkRuns(ctx, tx, r.CompanyID); err != nil {
			return 0, nil, err
		}
		err := db.CreateRun(ctx, tx, r, s.SourcingTimeout)
		return http.StatusAccepted, acceptedRun(r, message), err
	})
}

// checkRuns refuses a request of a company that has too many in progress.
func checkRuns(ctx context.Context, tx bun.Tx, company uuid.UUID) error {
	err := db.CheckRuns(ctx, tx, company)
	if errors.Is(err, db.ErrTooManyRuns) {
		return surface.RateLimited("Too many sourcing requests are in progress", db.MostRuns, runsPause)
	}
	return err
}

// runsPause is after which time a request that was one too many may be sent again.
const runsPause = 10 * time.Second

// checkRunWebhook refuses a webhook of another company (403), and one without the events of the run's end (422).
func checkRunWebhook(ctx context.Context, tx bun.Tx, r *db.ServiceRun, ends []string) error {
	if r.WebhookID == nil {
		return nil
	}
	w, err := delivery.GetWebhook(ctx, tx, *r.WebhookID)
	if errors.Is(err, pg.ErrNotFound) {
		return webhookNotFound(r.WebhookID.String())
	}
	if err != nil {
		return err
	}
	if company := w.Company(); company == nil || *company != r.CompanyID {
		return surface.Denied("webhook configuration")
	}
	if !slices.ContainsFunc(ends, func(end string) bool { return subscribes(w.Events, end) }) {
		return &surface.Error{
			Status: http.StatusUnprocessableEntity, Code: surface.CodeValidation,
			Message: "The webhook is not subscribed to " + strings.Join(ends, " or "),
			Details: surface.Details{"field": "webhookId", "required": ends},
		}
	}
	return nil
}

// subscribes reports whether a webhook's events have a type, by its name or the wildcard of its first word.
func subscribes(events []string, eventType string) bool {
	group, _, _ := strings.Cut(eventType, ".")
	return slices.Contains(events, eventType) || slices.Contains(events, group+".*")
}

// requestNotFound has the code of the reference. Another company's request is not found either: its existence stays
// hidden.
func requestNotFound(id string) *surface.Error {
	return &surface.Error{
		Status: http.StatusNotFound, Code: "REQUEST_NOT_FOUND", Message: "Request with ID " + surface.Clip(id) + " not found",
		Details: surface.Details{"resourceType": "Request", "resourceId": surface.Clip(id)},
	}
}

// run loads the run that the path names, of that kind and of the caller's company.
func (s *server) run(c *gin.Context, kind db.RunKind) (*db.ServiceRun, error) {
	scope, err := surface.ScopeOf(c)
	if err != nil {
		return nil, err
	}
	sent := c.Param("id")
	bare, prefixed := strings.CutPrefix(sent, db.RunPrefix(kind))
	id, valid := pg.ParseID(bare)
	if !prefixed || !valid {
		return nil, requestNotFound(sent)
	}
	r, err := db.GetRun(c.Request.Context(), s.DB, id)
	if errors.Is(err, pg.ErrNotFound) ||
		err == nil && (r.Kind != kind || scope.Company != nil && *scope.Company != r.CompanyID) {
		return nil, requestNotFound(sent)
	}
	return r, err
}

// refineSourcing begins another pass of an ended request.
func (s *server) refineSourcing(c *gin.Context) error {
	r, err := s.run(c, db.RunSourcing)
	if err != nil {
		return err
	}
	in, err := surface.Bind[refinementInput](c)
	if err != nil {
		return err
	}
	if in.Query == "" && in.Limit == nil {
		return surface.BadBody("At least one of query and limit is required")
	}
	if err := s.mustSource(); err != nil {
		return err
	}
	limit := refinementLimit
	if in.Limit != nil {
		limit = *in.Limit
	}
	err = pg.InTx(c.Request.Context(), s.DB, func(ctx context.Context, tx bun.Tx) error {
		if err := checkRuns(ctx, tx, r.CompanyID); err != nil {
			return err
		}
		r, err = db.RefineSourcing(ctx, tx, r.ID, in.Query, limit, s.SourcingTimeout)
		return err
	})
	if errors.Is(err, pg.ErrNotFound) { // dropped since it was read
		return requestNotFound(c.Param("id"))
	}
	if err != nil {
		return err
	}
	c.JSON(http.StatusAccepted, acceptedRun(r, sourcingAccepted))
	return nil
}

// sourcingOutput is the state of a sourcing request. Of the fields after CreatedAt it has those of its status.
type sourcingOutput struct {
	Success        bool                    `json:"success"`
	RequestID      string                  `json:"requestId"`
	Status         db.RunStatus            `json:"status"`
	CreatedAt      surface.Timestamp       `json:"createdAt"`
	CandidateCount *int                    `json:"candidatesSourcedCount,omitempty"`
	Message        string                  `json:"message,omitempty"`
	FoundCount     *int                    `json:"foundCount,omitempty"`
	ScoredCount    *int                    `json:"scoredCount,omitempty"`
	Candidates     *[]*db.SourcedCandidate `json:"candidates,omitempty"`
	ErrorCode      *string                 `json:"errorCode,omitempty"`
	ErrorMessage   *string                 `json:"errorMessage,omitempty"`
	CompletedAt    *surface.Timestamp      `json:"completedAt,omitempty"`
}

// sourcingResults answers 202 while the request is in progress, else 200, also for a failed one.
func (s *server) sourcingResults(c *gin.Context) error {
	r, err := s.run(c, db.RunSourcing)
	if err != nil {
		return err
	}
	out := sourcingOutput{
		Success: true, RequestID: r.RequestID(), Status: r.Status, CreatedAt: surface.Timestamp(r.CreatedAt),
		ErrorCode: r.ErrorCode, ErrorMessage: r.ErrorMessage, CompletedAt: surface.Maybe(r.CompletedAt),
	}
	if r.Status == db.RunProcessing {
		n, err := db.CountProfiles(c.Request.Context(), s.DB, r.ID)
		if err != nil {
			return err
		}
		out.CandidateCount, out.Message = &n, sourcingGoesOn
		c.JSON(http.StatusAccepted, out)
		return nil
	}
	profiles, err := db.ProfilesOf(c.Request.Context(), s.DB, r.ID)
	if err != nil {
		return err
	}
	candidates := surface.Mapped(profiles, func(p *db.SourcedProfile) *db.SourcedCandidate { return p.Data })
	n := len(candidates)
	out.Candidates, out.CandidateCount = &candidates, &n
	if r.Status == db.RunCompleted {
		out.FoundCount, out.ScoredCount = &r.Result.Found, &r.Result.Scored
	}
	c.JSON(http.StatusOK, out)
	return nil
}

// deleteProfile deletes all that the company has of a sourced person: for a person who asks for it and is not a
// candidate.
func (s *server) deleteProfile(c *gin.Context, id string) error {
	company, err := s.CallerCompany(c)
	if err != nil {
		return err
	}
	if !db.ValidProfileID(id) {
		return profileNotFound(id)
	}
	n, err := db.DeleteProfile(c.Request.Context(), s.DB, company, id)
	if err != nil {
		return err
	}
	if n == 0 {
		return profileNotFound(id)
	}
	return ok(c, http.StatusOK, true)
}

// deleteProfileOfQuery is for ids with a slash, which no path can have: services may use addresses.
func (s *server) deleteProfileOfQuery(c *gin.Context) error {
	id, err := surface.QueryText(c, "profileId")
	if err != nil {
		return err
	}
	if id == "" {
		return surface.Missing("profileId")
	}
	return s.deleteProfile(c, id)
}

func profileNotFound(id string) *surface.Error {
	e := surface.NotFound("Profile", surface.Clip(id))
	e.Code = db.ProfileUnknown
	return e
}

// maxRunReport bounds a service's report, in bytes.
const maxRunReport = surface.MaxBody

// runReported takes the result of a request that a service answered with 202. {"error": "…"} fails the request. A
// report about a request that has ended, or is in another pass, is a 409.
func (s *server) runReported(c *gin.Context) error {
	id, err := s.callbackID(c, "Request")
	if err != nil {
		return err
	}
	pass, err := surface.QueryInt(c, "pass", 1, 1<<30)
	if err != nil {
		return err
	}
	raw, err := surface.ReadBody(c)
	if err != nil {
		return err
	}
	in, err := surface.DecodeKnown[runReport](raw)
	if err != nil {
		return err
	}
	r, err := db.GetRun(c.Request.Context(), s.DB, id)
	if errors.Is(err, pg.ErrNotFound) {
		return surface.NotFound("Request", id.String())
	}
	if err != nil {
		return err
	}
	store, fault := reported(r, int(pass), raw, in.Error)
	if fault != "" {
		return surface.BadBody("The result " + fault)
	}
	err = pg.InTx(c.Request.Context(), s.DB, func(ctx context.Context, tx bun.Tx) error {
		if err := store(ctx, tx); err != nil {
			return err
		}
		return db.WakeRun(ctx, tx, id)
	})
	if err != nil {
		return err
	}
	c.Status(http.StatusNoContent)
	return nil
}

// runReport is what a service reports instead of a result when it has failed.
type runReport struct {
	Error string `json:"error" validate:"max=1000"`
}

// reported returns what stores a reported result.
func reported(
	r *db.ServiceRun, pass int, raw []byte, failure string,
) (store func(ctx context.Context, tx bun.Tx) error, fault string) {
	if failure != "" {
		return func(ctx context.Context, tx bun.Tx) error {
			return db.EndRun(ctx, tx, r.ID, pass, db.RunRefused, failure)
		}, ""
	}
	switch r.Kind {
	case db.RunSourcing:
		found, fault := db.ParseSourced(raw)
		return func(ctx context.Context, tx bun.Tx) error {
			return db.CompleteSourcing(ctx, tx, r.ID, pass, found)
		}, fault
	case db.RunEnrichment:
		results, fault := db.ParseEnriched(raw)
		return func(ctx context.Context, tx bun.Tx) error {
			return db.CompleteEnrichment(ctx, tx, r.ID, pass, results)
		}, fault
	case db.RunJobImport:
	}
	return nil, "is of a request without reports"
}
