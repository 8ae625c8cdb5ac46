package db

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/db/catalog"
)

// The prefixes of a request's id in the API and in events.
const (
	sourcingPrefix   = "req_"
	enrichmentPrefix = "enr_"
)

// RunPrefix is what a run's id begins with in the API: req_ for a sourcing, enr_ for an enrichment, else nothing.
func RunPrefix(kind RunKind) string {
	switch kind {
	case RunSourcing:
		return sourcingPrefix
	case RunEnrichment:
		return enrichmentPrefix
	case RunJobImport:
	}
	return ""
}

// RequestID is the id of the run in the API and in events.
func (r *ServiceRun) RequestID() string { return RunPrefix(r.Kind) + r.ID.String() }

// runEventTypes are the events of a run's end; a job import has none.
var runEventTypes = map[RunKind]map[RunStatus]string{
	RunSourcing:   {RunCompleted: catalog.SourcingCompleted, RunFailed: catalog.SourcingFailed},
	RunEnrichment: {RunCompleted: catalog.EnrichCompleted, RunFailed: catalog.EnrichFailed},
}

// runData is the data of the events of sourcings and enrichments: ids, status and counts. The profiles are fetched with
// the request's id, so no person's data is in the events.
type runData struct {
	RequestID       string     `json:"requestId"`
	Status          RunStatus  `json:"status"`
	WebhookID       *uuid.UUID `json:"webhookId,omitempty"`
	CandidatesCount *int       `json:"candidatesCount,omitempty"`
	FoundCount      *int       `json:"foundCount,omitempty"`
	ScoredCount     *int       `json:"scoredCount,omitempty"`
	EnrichedCount   *int       `json:"enrichedCount,omitempty"`
	FailureCount    *int       `json:"failureCount,omitempty"`
	CreditsConsumed *int       `json:"creditsConsumed,omitempty"`
	ErrorCode       *string    `json:"errorCode,omitempty"`
	ErrorMessage    *string    `json:"errorMessage,omitempty"`
	CreatedAt       string     `json:"createdAt"`
	CompletedAt     string     `json:"completedAt"`
}

// record records the event of the run's end.
func (r *ServiceRun) record(ctx context.Context, tx bun.Tx) error {
	eventType := runEventTypes[r.Kind][r.Status]
	if eventType == "" {
		return nil
	}
	d := runData{
		RequestID: r.RequestID(), Status: r.Status, WebhookID: r.WebhookID,
		ErrorCode: r.ErrorCode, ErrorMessage: r.ErrorMessage,
		CreatedAt: eventTime(r.CreatedAt), CompletedAt: eventTime(*r.CompletedAt),
	}
	switch {
	case r.Status != RunCompleted:
	case r.Kind == RunSourcing:
		n, err := CountProfiles(ctx, tx, r.ID)
		if err != nil {
			return err
		}
		d.CandidatesCount, d.FoundCount, d.ScoredCount = &n, &r.Result.Found, &r.Result.Scored
	default:
		d.EnrichedCount, d.FailureCount, d.CreditsConsumed = &r.Result.Enriched, &r.Result.Failed, &r.Result.Enriched
	}
	data, err := json.Marshal(d)
	if err != nil {
		return fmt.Errorf("encode event of a service run: %w", err)
	}
	return recordAbout(ctx, tx, About{Company: r.CompanyID}, data, eventType)
}

// eventTime is a time in the form of the API: UTC with milliseconds.
func eventTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }
