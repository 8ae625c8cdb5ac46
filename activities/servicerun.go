package activities

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/db"
	"greenroom/db/pg"
)

// RunState is the input of the ServiceRun workflow's decisions.
type RunState struct {
	// Processing: the run has not ended. Its workflow has to ask for Pass until DueAt.
	Processing bool
	Pass       int
	DueAt      time.Time
}

// LoadRun reads a run. One that was dropped has ended.
func (a *Activities) LoadRun(ctx context.Context, run uuid.UUID) (RunState, error) {
	r, err := db.GetRun(ctx, a.DB, run)
	if errors.Is(err, pg.ErrNotFound) {
		return RunState{}, nil
	}
	if err != nil {
		return RunState{}, err
	}
	return RunState{Processing: r.Status == db.RunProcessing, Pass: r.Pass, DueAt: r.DueAt}, nil
}

// The codes with which the workflow fails a run.
const (
	RunStopped     = db.RunStopped
	RunUnavailable = db.RunUnavailable
	RunTimedOut    = db.RunTimedOut
)

// RunPass is one pass of a run.
type RunPass struct {
	RunID uuid.UUID
	Pass  int
}

// EndRunInput fails one pass of a run.
type EndRunInput struct {
	RunID        uuid.UUID
	Pass         int
	Code, Reason string
}

// EndRun fails a pass of a run, unless it has ended.
func (a *Activities) EndRun(ctx context.Context, in EndRunInput) error {
	return wrap("fail service run", pg.UnlessLost(pg.InTx(ctx, a.DB, func(ctx context.Context, tx bun.Tx) error {
		return db.EndRun(ctx, tx, in.RunID, in.Pass, in.Code, in.Reason)
	})))
}

// AskService asks a run's service and stores its result. A refusal, or an answer that is not valid, fails the run; no
// other result takes its place. ended is false if the service reports the result later (202). The service identifies a
// request by its id and pass, so it may be repeated. Errors are retryable. A pass that has ended is not asked for.
func (a *Activities) AskService(ctx context.Context, in RunPass) (ended bool, err error) {
	r, err := db.GetRun(ctx, a.DB, in.RunID)
	if errors.Is(err, pg.ErrNotFound) {
		return true, nil
	}
	if err != nil || r.Status != db.RunProcessing || r.Pass != in.Pass {
		return true, err
	}
	switch r.Kind {
	case db.RunSourcing:
		return a.askSourcing(ctx, r)
	case db.RunEnrichment:
		return a.askEnrichment(ctx, r)
	case db.RunJobImport:
		return a.importJob(ctx, r)
	}
	return true, a.failRun(ctx, r, db.RunRefused, "this version does not know the kind of the request")
}

// sourcingRequest is the body of the sourcing service's POST /sourcings.
type sourcingRequest struct {
	RequestID      string `json:"requestId"`
	Pass           int    `json:"pass"`
	Title          string `json:"title"`
	JobDescription string `json:"jobDescription"`
	Location       string `json:"location"`
	Query          string `json:"query"`
	Limit          int    `json:"limit"`
	// ExcludeProfileIDs are the profiles that earlier passes found.
	ExcludeProfileIDs []string `json:"excludeProfileIds"`
	CallbackURL       string   `json:"callbackUrl"`
}

func (a *Activities) askSourcing(ctx context.Context, r *db.ServiceRun) (ended bool, err error) {
	known, err := db.ProfileIDsOf(ctx, a.DB, r.ID)
	if err != nil {
		return false, err
	}
	q := r.Request
	got, ended, err := a.askRun(ctx, r, a.Sourcing, theSourcing, "/sourcings", sourcingRequest{
		RequestID: r.RequestID(), Pass: r.Pass, Title: q.Title, JobDescription: q.JobDescription, Location: q.Location,
		Query: q.Query, Limit: q.Limit, ExcludeProfileIDs: known, CallbackURL: a.runCallback(r),
	})
	if err != nil || got == nil {
		return ended, err
	}
	found, fault := db.ParseSourced(got)
	if fault != "" {
		return true, a.failRun(ctx, r, db.RunRefused, "the sourcing service's answer "+fault)
	}
	return true, a.completeRun(ctx, func(ctx context.Context, tx bun.Tx) error {
		return db.CompleteSourcing(ctx, tx, r.ID, r.Pass, found)
	})
}

// enrichmentRequest is the body of the sourcing service's POST /enrichments.
type enrichmentRequest struct {
	RequestID   string           `json:"requestId"`
	Profiles    []profileRequest `json:"profiles"`
	CallbackURL string           `json:"callbackUrl"`
}

type profileRequest struct {
	ProfileID   string `json:"profileId"`
	LinkedinURL string `json:"linkedinUrl,omitempty"`
}

// askEnrichment asks for the profiles that the company has sourced. The others are failures that nobody is asked about.
func (a *Activities) askEnrichment(ctx context.Context, r *db.ServiceRun) (ended bool, err error) {
	known, err := db.FindProfiles(ctx, a.DB, r.CompanyID, r.Request.ProfileIDs)
	if err != nil {
		return false, err
	}
	q := enrichmentRequest{RequestID: r.RequestID(), CallbackURL: a.runCallback(r)}
	for _, id := range r.Request.ProfileIDs {
		if p := known[id]; p != nil {
			q.Profiles = append(q.Profiles, profileRequest{id, p.LinkedinURL})
		}
	}
	var results []db.Enriched
	if len(q.Profiles) > 0 {
		got, ended, err := a.askRun(ctx, r, a.Sourcing, theSourcing, "/enrichments", q)
		if err != nil || got == nil {
			return ended, err
		}
		var fault string
		if results, fault = db.ParseEnriched(got); fault != "" {
			return true, a.failRun(ctx, r, db.RunRefused, "the sourcing service's answer "+fault)
		}
	}
	return true, a.completeRun(ctx, func(ctx context.Context, tx bun.Tx) error {
		return db.CompleteEnrichment(ctx, tx, r.ID, r.Pass, results)
	})
}

// askRun posts a run's request. It returns the answer, or nil if there is none to evaluate: the run was failed (ended),
// or the service reports later.
func (a *Activities) askRun(
	ctx context.Context, r *db.ServiceRun, to Service, name, path string, body any,
) (raw []byte, ended bool, err error) {
	if to.URL == "" {
		return nil, true, a.failRun(ctx, r, db.RunUnavailable, name+" is not configured")
	}
	got, err := a.call(ctx, serviceRequest{
		to: to, name: name, method: http.MethodPost, path: path, body: body, subject: r.ID,
		company: r.CompanyID,
	})
	switch {
	case err != nil:
		return nil, false, err
	case got.status == http.StatusAccepted && r.Kind != db.RunJobImport:
		return nil, false, nil
	case !got.accepted():
		return nil, true, a.failRun(ctx, r, db.RunRefused, got.refusal())
	case len(got.body) > maxAnswer:
		return nil, true, a.failRun(
			ctx,
			r,
			db.RunRefused,
			fmt.Sprintf("%s's answer is longer than %d bytes", name, maxAnswer),
		)
	}
	return got.body, true, nil
}

func (a *Activities) runCallback(r *db.ServiceRun) string {
	return a.callback("runs", r.ID) + "&pass=" + strconv.Itoa(r.Pass)
}

// completeRun stores a result, unless the run has ended.
func (a *Activities) completeRun(ctx context.Context, do func(ctx context.Context, tx bun.Tx) error) error {
	return wrap("store result", pg.UnlessLost(pg.InTx(ctx, a.DB, do)))
}

func (a *Activities) failRun(ctx context.Context, r *db.ServiceRun, code, message string) error {
	return a.EndRun(ctx, EndRunInput{r.ID, r.Pass, code, message})
}

// extractionRequest is the body of the extractor's POST /jobs.
type extractionRequest struct {
	URL  string `json:"url"`
	HTML string `json:"html"`
}

// importJob reads the page of a posting, has the extractor read the job out of it, and stores that as it is: the API
// checks it as it checks the body of POST /jobs.
func (a *Activities) importJob(ctx context.Context, r *db.ServiceRun) (ended bool, err error) {
	page, fault, err := a.fetchPage(ctx, r.CompanyID, r.Request.JobURL)
	if err != nil {
		return false, err
	}
	if fault != nil {
		return true, a.failRun(ctx, r, fault.code, fault.message)
	}
	got, ended, err := a.askRun(ctx, r, a.Extractor, theExtractor, "/jobs", extractionRequest{r.Request.JobURL, page})
	if err != nil || got == nil {
		return ended, err
	}
	switch fault := pg.JSONFault(got); {
	case len(got) > maxJob || !json.Valid(got) || !isObject(bytes.TrimSpace(got)):
		return true, a.failRun(ctx, r, db.RunRefused,
			fmt.Sprintf("the extractor's answer is not a JSON object of at most %d bytes", maxJob))
	case fault != "":
		return true, a.failRun(ctx, r, db.RunRefused, "the extractor's answer "+fault)
	}
	return true, a.completeRun(ctx, func(ctx context.Context, tx bun.Tx) error {
		return db.CompleteImport(ctx, tx, r.ID, r.Pass, got)
	})
}

// maxJob bounds an extracted job in bytes, as the API bounds a posted one.
const maxJob = 64 << 10
