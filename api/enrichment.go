package api

import (
	"net/http"
	"slices"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"greenroom/api/surface"
	"greenroom/db"
	"greenroom/db/catalog"
)

// enrichmentInput is the body of POST /sourcing/enrich.
type enrichmentInput struct {
	ProfileIDs []string   `json:"profileIds" validate:"required,max=10,unique,dive,min=1,max=128"`
	WebhookID  *uuid.UUID `json:"webhookId"`
}

const (
	enrichmentAccepted = "Enrichment run accepted and queued for processing."
	enrichmentGoesOn   = "Enrichment is in progress. Please poll again in a few seconds."
)

// startEnrichment answers 202. A profile that the company has not sourced fails alone.
func (s *server) startEnrichment(c *gin.Context) error {
	company, err := s.CallerCompany(c)
	if err != nil {
		return err
	}
	raw, err := surface.ReadBody(c)
	if err != nil {
		return err
	}
	in, err := surface.Decode[enrichmentInput](raw)
	if err != nil {
		return err
	}
	return s.startRun(c, raw, &db.ServiceRun{
		CompanyID: company, Kind: db.RunEnrichment, WebhookID: in.WebhookID,
		Request: db.RunRequest{ProfileIDs: in.ProfileIDs},
	}, enrichmentAccepted, catalog.EnrichCompleted, catalog.EnrichFailed)
}

// enrichmentOutput is the state of an enrichment. Of the fields after CreatedAt it has those of its status.
type enrichmentOutput struct {
	Success         bool               `json:"success"`
	RequestID       string             `json:"requestId"`
	Status          db.RunStatus       `json:"status"`
	Message         string             `json:"message,omitempty"`
	CreatedAt       surface.Timestamp  `json:"createdAt"`
	CompletedAt     *surface.Timestamp `json:"completedAt,omitempty"`
	EnrichedCount   *int               `json:"enrichedCount,omitempty"`
	FailureCount    *int               `json:"failureCount,omitempty"`
	CreditsConsumed *int               `json:"creditsConsumed,omitempty"`
	Data            *[]enrichedOutput  `json:"data,omitempty"`
	ErrorCode       *string            `json:"errorCode,omitempty"`
	ErrorMessage    *string            `json:"errorMessage,omitempty"`
}

// enrichedOutput is the result for one profile.
type enrichedOutput struct {
	ProfileID    string               `json:"profileId"`
	Success      bool                 `json:"success"`
	Candidate    *db.SourcedCandidate `json:"candidate,omitempty"`
	ErrorCode    *string              `json:"errorCode,omitempty"`
	ErrorMessage *string              `json:"errorMessage,omitempty"`
}

// enrichmentResults answers 202 while the request is in progress, else 200, also for a failed one.
func (s *server) enrichmentResults(c *gin.Context) error {
	r, err := s.run(c, db.RunEnrichment)
	if err != nil {
		return err
	}
	out := enrichmentOutput{
		Success: true, RequestID: r.RequestID(), Status: r.Status, CreatedAt: surface.Timestamp(r.CreatedAt),
		ErrorCode: r.ErrorCode, ErrorMessage: r.ErrorMessage, CompletedAt: surface.Maybe(r.CompletedAt),
	}
	if r.Status == db.RunProcessing {
		out.Message = enrichmentGoesOn
		c.JSON(http.StatusAccepted, out)
		return nil
	}
	profiles, err := db.ProfilesOf(c.Request.Context(), s.DB, r.ID)
	if err != nil {
		return err
	}
	results := surface.Mapped(profiles, func(p *db.SourcedProfile) enrichedOutput {
		return enrichedOutput{p.ProfileID, p.Data != nil, p.Data, p.ErrorCode, p.ErrorMessage}
	})
	slices.SortStableFunc(results, func(a, b enrichedOutput) int { // as requested, not by score
		return slices.Index(r.Request.ProfileIDs, a.ProfileID) - slices.Index(r.Request.ProfileIDs, b.ProfileID)
	})
	out.Data = &results
	if r.Status == db.RunCompleted {
		out.EnrichedCount, out.FailureCount, out.CreditsConsumed = &r.Result.Enriched, &r.Result.Failed, &r.Result.Enriched
	}
	c.JSON(http.StatusOK, out)
	return nil
}
