package db

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/db/delivery"
	"greenroom/db/pg"
)

// ServiceRun is a request to an external service that takes longer than an HTTP request: to find candidates, to
// complete the profiles of some, or to read a job posting. Its workflow carries it to its end.
type ServiceRun struct {
	bun.BaseModel `bun:"table:service_runs,alias:sr"`

	ID        uuid.UUID `bun:"id,pk"`
	CompanyID uuid.UUID `bun:"company_id"`
	Kind      RunKind   `bun:"kind"`
	Status    RunStatus `bun:"status"`
	// Pass counts the runs of a sourcing request from 1: each refinement is another one.
	Pass int `bun:"pass"`
	// WebhookID is the webhook that the request names, which is subscribed to the events of its end.
	WebhookID    *uuid.UUID `bun:"webhook_id"`
	Request      RunRequest `bun:"request,type:jsonb"`
	Result       RunResult  `bun:"result,type:jsonb"`
	ErrorCode    *string    `bun:"error_code"`
	ErrorMessage *string    `bun:"error_message"`
	// DueAt is when the run fails if it is not completed by then.
	DueAt       time.Time  `bun:"due_at"`
	CreatedAt   time.Time  `bun:"created_at"`
	UpdatedAt   time.Time  `bun:"updated_at"`
	CompletedAt *time.Time `bun:"completed_at"`
}

// RunKind is what a service is asked for.
type RunKind string

// The kinds of runs.
const (
	RunSourcing   RunKind = "sourcing"
	RunEnrichment RunKind = "enrichment"
	RunJobImport  RunKind = "job_import"
)

// RunStatus is the status of a run, as the sourcing API shows it.
type RunStatus string

// The statuses of a run.
const (
	RunProcessing RunStatus = "processing"
	RunCompleted  RunStatus = "completed"
	RunFailed     RunStatus = "failed"
)

// Codes of a failed run, and of a profile that could not be enriched.
const (
	// RunRefused: the service refused the request, or its answer is not valid.
	RunRefused = "AGENT_ERROR"
	// RunUnavailable: the service, or the page of a job posting, was not reached in time.
	RunUnavailable = "SERVICE_UNAVAILABLE"
	// RunTimedOut: the service took the request and did not report its result in time.
	RunTimedOut = "TIMEOUT"
	// RunStopped: an operator canceled the workflow.
	RunStopped = "CANCELED"
	// RunForbiddenURL: the address of a job posting is not allowed.
	RunForbiddenURL = "INVALID_URL"
	// ProfileUnknown: no sourcing run of the company found a profile with this id, or it is no longer kept.
	ProfileUnknown = "PROFILE_NOT_FOUND"
	// EnrichmentFailed: the service could not enrich the profile and gave no code of its own.
	EnrichmentFailed = "ENRICHMENT_FAILED"
)

// RunRequest is what a run asks for. Each kind uses some of the fields.
type RunRequest struct {
	Title          string   `json:"title,omitempty"`
	JobDescription string   `json:"jobDescription,omitempty"`
	Location       string   `json:"location,omitempty"`
	Query          string   `json:"query,omitempty"`
	Limit          int      `json:"limit,omitempty"`
	ProfileIDs     []string `json:"profileIds,omitempty"`
	JobURL         string   `json:"jobUrl,omitempty"`
}

// RunResult is what a run brought, besides profiles. Each kind uses some of the fields.
type RunResult struct {
	// Found and Scored count the profiles that the service found and rated.
	Found  int `json:"found,omitempty"`
	Scored int `json:"scored,omitempty"`
	// Enriched and Failed count the profiles of an enrichment.
	Enriched int `json:"enriched,omitempty"`
	Failed   int `json:"failed,omitempty"`
	// Job is the job that was read from a posting, as the service wrote it.
	Job json.RawMessage `json:"job,omitempty"`
}

// RunChanged is the kind of the command to start or wake the workflow of a run. Its subject is the run.
const RunChanged delivery.CommandKind = "run.changed"

// ReconciledRuns are the runs in progress.
var ReconciledRuns = delivery.Reconciled{Kind: "service run", Table: "service_runs", Look: runsDueSQL}

// runsDueSQL has the expression of the index service_runs_processing.
const runsDueSQL = `
SELECT sr.id, true AS needed, false AS overdue, 0 AS since_ms
FROM service_runs sr WHERE ` + runDue + ` < now() - ?0 * interval '1 ms' ORDER BY ` + runDue + ` LIMIT ?1`

const runDue = "(CASE WHEN sr.status = 'processing' THEN GREATEST(sr.reconcile_at, sr.updated_at) END)"

// CreateRun stores a new run that fails unless it is completed within that time. Its workflow starts when tx commits.
func CreateRun(ctx context.Context, tx bun.Tx, r *ServiceRun, within time.Duration) error {
	r.ID, r.Status, r.Pass, r.CreatedAt = pg.NewID(), RunProcessing, 1, now()
	r.UpdatedAt, r.DueAt = r.CreatedAt, r.CreatedAt.Add(within)
	if _, err := tx.NewInsert().Model(r).Exec(ctx); err != nil {
		return fmt.Errorf("insert service run: %w", pg.Translate(err))
	}
	return WakeRun(ctx, tx, r.ID)
}

// MostRuns is the number of requests of a company that the sourcing service may have in progress: a service that is
// away has no more of them waiting for it.
const MostRuns = 100

// ErrTooManyRuns means that the company has MostRuns requests in progress.
var ErrTooManyRuns = errors.New("too many requests are in progress")

// CheckRuns is ErrTooManyRuns for a company that may begin no other request to the sourcing service now. Concurrent
// requests may exceed the number by as many.
func CheckRuns(ctx context.Context, db bun.IDB, company uuid.UUID) error {
	var n int
	err := db.NewRaw(`SELECT count(*) FROM (SELECT FROM service_runs
		WHERE company_id = ? AND status = 'processing' AND kind <> 'job_import' LIMIT ?) AS r`, company, MostRuns).
		Scan(ctx, &n)
	if err != nil {
		return fmt.Errorf("count service runs: %w", err)
	}
	if n >= MostRuns {
		return ErrTooManyRuns
	}
	return nil
}

// GetRun returns a run of any company and kind. The caller checks both.
func GetRun(ctx context.Context, db bun.IDB, id uuid.UUID) (*ServiceRun, error) {
	r := new(ServiceRun)
	if err := db.NewSelect().Model(r).Where("sr.id = ?", id).Scan(ctx); err != nil {
		return nil, fmt.Errorf("get service run: %w", pg.Translate(err))
	}
	return r, nil
}

func lockRun(ctx context.Context, tx bun.Tx, id uuid.UUID) (*ServiceRun, error) {
	r := new(ServiceRun)
	if err := tx.NewSelect().Model(r).Where("sr.id = ?", id).For("NO KEY UPDATE").Scan(ctx); err != nil {
		return nil, fmt.Errorf("lock service run: %w", pg.Translate(err))
	}
	return r, nil
}

// MostSourced is the number of profiles that a sourcing request and its refinements may find.
const MostSourced = 500

// RefineSourcing begins another pass of an ended sourcing request: with a new query unless it is "", for up to limit
// further profiles. A request in progress, and one that has MostSourced profiles, is a StateError.
func RefineSourcing(
	ctx context.Context, tx bun.Tx, id uuid.UUID, query string, limit int, within time.Duration,
) (*ServiceRun, error) {
	r, err := lockRun(ctx, tx, id)
	if err != nil {
		return nil, err
	}
	if r.Status == RunProcessing {
		return nil, &pg.StateError{Resource: "sourcing run", State: "still processing"}
	}
	n, err := CountProfiles(ctx, tx, id)
	if err != nil {
		return nil, err
	}
	if n >= MostSourced {
		return nil, &pg.StateError{Resource: "sourcing run", State: "full: start another one"}
	}
	if query != "" {
		r.Request.Query = query
	}
	r.Request.Limit = min(limit, MostSourced-n)
	r.Status, r.Pass, r.UpdatedAt = RunProcessing, r.Pass+1, now()
	r.DueAt, r.CompletedAt, r.ErrorCode, r.ErrorMessage = r.UpdatedAt.Add(within), nil, nil, nil
	_, err = tx.NewUpdate().Model(r).WherePK().Column("request", "status", "pass", "due_at", "completed_at", "error_code",
		"error_message", "updated_at").Set("reconcile_at = NULL").Exec(ctx)
	if err != nil {
		return nil, fmt.Errorf("refine sourcing: %w", err)
	}
	return r, WakeRun(ctx, tx, r.ID)
}

// lockPass locks a run for the end of one of its passes. A run that has ended or is in another pass is a
// StateError, so a result that comes late changes nothing.
func lockPass(ctx context.Context, tx bun.Tx, id uuid.UUID, pass int) (*ServiceRun, error) {
	r, err := lockRun(ctx, tx, id)
	switch {
	case err != nil:
		return nil, err
	case r.Status != RunProcessing:
		return nil, &pg.StateError{Resource: "request", State: string(r.Status)}
	case r.Pass != pass:
		return nil, &pg.StateError{Resource: "request", State: fmt.Sprintf("in pass %d", r.Pass)}
	}
	return r, nil
}

// CompleteSourcing stores what a pass found, with sourcing.completed. Profiles that the request has are not repeated.
func CompleteSourcing(ctx context.Context, tx bun.Tx, id uuid.UUID, pass int, found *Sourced) error {
	r, err := lockPass(ctx, tx, id, pass)
	if err != nil {
		return fmt.Errorf("complete sourcing: %w", err)
	}
	profiles := make([]SourcedProfile, 0, len(found.Candidates))
	for _, c := range found.Candidates[:min(len(found.Candidates), r.Request.Limit)] {
		profiles = append(profiles, r.profile(c.ProfileID, c))
	}
	n, err := insertProfiles(ctx, tx, profiles)
	if err != nil {
		return err
	}
	r.Result.Found, r.Result.Scored = found.FoundCount, r.Result.Scored+found.ScoredCount
	if err := countUsage(ctx, tx, r.CompanyID, UsageSourcing, n); err != nil {
		return err
	}
	return r.end(ctx, tx, RunCompleted, "", "")
}

// CompleteEnrichment stores the result for each profile of the request, with enrich.completed. A profile without a
// result counts as failed.
func CompleteEnrichment(ctx context.Context, tx bun.Tx, id uuid.UUID, pass int, got []Enriched) error {
	r, err := lockPass(ctx, tx, id, pass)
	if err != nil {
		return fmt.Errorf("complete enrichment: %w", err)
	}
	results := map[string]Enriched{}
	for _, e := range got {
		results[e.ProfileID] = e
	}
	profiles := make([]SourcedProfile, 0, len(r.Request.ProfileIDs))
	r.Result.Enriched = 0
	for _, profileID := range r.Request.ProfileIDs {
		e, answered := results[profileID]
		p := r.profile(profileID, e.Candidate)
		switch {
		case e.Candidate != nil:
			r.Result.Enriched++
		case answered:
			p.ErrorCode, p.ErrorMessage = &e.ErrorCode, &e.ErrorMessage
		default:
			code, message := EnrichmentFailed, "the service gave no result for this profile"
			p.ErrorCode, p.ErrorMessage = &code, &message
		}
		profiles = append(profiles, p)
	}
	r.Result.Failed = len(profiles) - r.Result.Enriched
	if _, err := insertProfiles(ctx, tx, profiles); err != nil {
		return err
	}
	if err := countUsage(ctx, tx, r.CompanyID, UsageEnrichment, r.Result.Enriched); err != nil {
		return err
	}
	return r.end(ctx, tx, RunCompleted, "", "")
}

// CompleteImport stores the job that was read from a posting. The API creates the job, for a client that still waits.
func CompleteImport(ctx context.Context, tx bun.Tx, id uuid.UUID, pass int, job json.RawMessage) error {
	r, err := lockPass(ctx, tx, id, pass)
	if err != nil {
		return fmt.Errorf("complete job import: %w", err)
	}
	r.Result.Job = job
	return r.end(ctx, tx, RunCompleted, "", "")
}

// EndRun fails a pass of a run, with sourcing.failed or enrich.failed. code is one of the codes above, message a
// sentence.
func EndRun(ctx context.Context, tx bun.Tx, id uuid.UUID, pass int, code, message string) error {
	r, err := lockPass(ctx, tx, id, pass)
	if err != nil {
		return fmt.Errorf("fail service run: %w", err)
	}
	return r.end(ctx, tx, RunFailed, code, message)
}

func (r *ServiceRun) end(ctx context.Context, tx bun.Tx, status RunStatus, code, message string) error {
	at := now()
	r.Status, r.UpdatedAt, r.CompletedAt = status, at, &at
	if code != "" {
		r.ErrorCode, r.ErrorMessage = &code, &message
	}
	_, err := tx.NewUpdate().Model(r).WherePK().
		Column("status", "result", "error_code", "error_message", "completed_at", "updated_at").Exec(ctx)
	if err != nil {
		return fmt.Errorf("end service run: %w", err)
	}
	return r.record(ctx, tx)
}

// DropRuns deletes up to limit runs that ended or were changed last before that time, with their profiles.
func DropRuns(ctx context.Context, db bun.IDB, before time.Time, limit int) (int, error) {
	res, err := db.ExecContext(ctx, `DELETE FROM service_runs WHERE id IN (
		SELECT id FROM service_runs WHERE updated_at < ? ORDER BY updated_at LIMIT ?)`, before, limit)
	if err != nil {
		return 0, fmt.Errorf("drop service runs: %w", err)
	}
	n, err := res.RowsAffected()
	return int(n), err
}

// WakeRun makes the workflow of a run read its row: after a change that the workflow did not make itself.
func WakeRun(ctx context.Context, tx bun.Tx, id uuid.UUID) error {
	return delivery.AddCommand(ctx, tx, RunChanged, id, nil)
}
