package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/api/surface"
	"greenroom/db"
	"greenroom/db/pg"
)

// An import is worked on by a worker, which reaches the page and the extractor, while its request waits. So the number
// of imports in progress is limited, of one company and of each process; the reference allows 5 requests per minute.
const (
	importWithin    = 30 * time.Second
	importsEach     = 5
	importsTotal    = 50
	importTurn      = 100 * time.Millisecond
	importPerMinute = 5
	importWindow    = "JobImport"
	lastImportPoll  = 250 * time.Millisecond
)

// Codes of an import that brought no job.
const (
	codeExtraction = "EXTRACTION_FAILED"
	codeJobTitle   = "INVALID_JOB_TITLE"
)

// importInput is the body of POST /jobs/url.
type importInput struct {
	JobURL    string `json:"jobUrl" validate:"required,max=2048,http_url"`
	CreateJob *bool  `json:"createJob"`
}

// importOutput is the envelope with the address beside the job, as in the reference.
type importOutput struct {
	envelope
	SourceURL string `json:"sourceUrl"`
}

// previewOutput is a job that was not created: its id and times are empty strings, as in the reference.
type previewOutput struct {
	jobOutput
	ID        string `json:"id"`
	CreatedAt string `json:"createdAt"`
	UpdatedAt string `json:"updatedAt"`
}

// importJob reads the job out of a posting and creates it, or only shows it for createJob false. An Idempotency-Key
// protects the creation.
func (s *server) importJob(c *gin.Context) error {
	company, err := s.CallerCompany(c)
	if err != nil {
		return err
	}
	raw, err := surface.ReadBody(c)
	if err != nil {
		return err
	}
	in, err := surface.Decode[importInput](raw)
	if err != nil {
		return err
	}
	if err := s.CheckURL(in.JobURL); err != nil {
		return surface.Invalid("jobUrl", "jobUrl: "+err.Error())
	}
	if answered, err := s.Repeated(c, raw); err != nil || answered {
		return err
	}
	if !s.Imports {
		return notConfigured("extractor of jobs", "extractor.url")
	}
	if err := s.limitImports(c, company); err != nil {
		return err
	}
	job, err := s.extractJob(c, company, in.JobURL)
	if err != nil {
		return err
	}
	if in.CreateJob != nil && !*in.CreateJob {
		job.fillPreview()
		c.JSON(http.StatusOK, importOutput{wrapped(previewOutput{jobOutput: showJob(job.Job)}), in.JobURL})
		return nil
	}
	return s.Once(c, raw, func(ctx context.Context, tx bun.Tx) (int, any, error) {
		err := db.CreateJob(ctx, tx, job.Job)
		return http.StatusCreated, importOutput{wrapped(showJob(job.Job)), in.JobURL}, err
	})
}

// limitImports counts the import of a company. If counting fails, the import passes, as a request does.
func (s *server) limitImports(c *gin.Context, company uuid.UUID) error {
	got, err := db.ClaimRequests(c.Request.Context(), s.DB, db.RequestClaim{
		Key: company, Window: importWindow, Period: time.Minute, N: 1, Limit: importPerMinute,
	})
	if err != nil {
		s.Logger.WarnContext(c.Request.Context(), "limit of job imports failed", "error", err)
		return nil
	}
	if !got.Granted {
		return surface.RateLimited("Too many jobs are imported from URLs", importPerMinute, got.In)
	}
	return nil
}

// extracted is a job that was read out of a posting.
type extracted struct{ *db.Job }

// fillPreview gives a job that is not created what a created one has.
func (e extracted) fillPreview() {
	e.Fill()
	if e.Status == "" {
		e.Status = db.JobOpen
	}
}

// extractJob has a worker read the posting, waits for the result, and checks it as the body of POST /jobs is checked.
// Fields that a job does not have are ignored.
func (s *server) extractJob(c *gin.Context, company uuid.UUID, address string) (extracted, error) {
	release, got := s.imports.Acquire(c.Request.Context(), surface.Owner(c), 1)
	if !got {
		return extracted{}, surface.RateLimited("Too many jobs are being imported", importsEach, time.Second)
	}
	defer release()
	r := &db.ServiceRun{CompanyID: company, Kind: db.RunJobImport, Request: db.RunRequest{JobURL: address}}
	err := pg.InTx(c.Request.Context(), s.DB, func(ctx context.Context, tx bun.Tx) error {
		return db.CreateRun(ctx, tx, r, importWithin)
	})
	if err == nil {
		r, err = s.awaitRun(c.Request.Context(), r)
	}
	if err != nil {
		return extracted{}, err
	}
	if r.Status != db.RunCompleted {
		return extracted{}, importFailure(r)
	}
	in, err := surface.DecodeKnown[jobInput](r.Result.Job)
	var refused *surface.Error
	switch {
	case err == nil:
		err = in.Salary.check("salary")
	case errors.As(err, &refused) && refused.Field() == "title":
		return extracted{}, unprocessable(codeJobTitle, "The posting has no valid job title: "+refused.Message)
	}
	if errors.As(err, &refused) {
		return extracted{}, unprocessable(codeExtraction, "The posting's job is not valid: "+refused.Message)
	}
	if err != nil {
		return extracted{}, err
	}
	in.JobURL = &address
	return extracted{in.row(company, in.Title)}, nil
}

// awaitRun returns the run once it has ended, or as it is after its time limit.
func (s *server) awaitRun(ctx context.Context, r *db.ServiceRun) (*db.ServiceRun, error) {
	deadline := time.Now().Add(importWithin)
	for wait := firstPoll; ; wait = min(wait*3/2, lastImportPoll) {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(wait):
		}
		late := time.Now().After(deadline)
		now, err := db.GetRun(ctx, s.DB, r.ID)
		if err != nil || now.Status != db.RunProcessing || late {
			return now, err
		}
	}
}

// importFailure says why a posting could not be read.
func importFailure(r *db.ServiceRun) *surface.Error {
	code, message := db.RunTimedOut, "the posting could not be read in time"
	if r.ErrorCode != nil {
		code, message = *r.ErrorCode, *r.ErrorMessage
	}
	switch code {
	case db.RunForbiddenURL:
		return surface.Invalid("jobUrl", "jobUrl: "+message)
	case db.RunRefused:
		return unprocessable(codeExtraction, "The job could not be read out of the posting: "+message)
	}
	return &surface.Error{
		Status: http.StatusGatewayTimeout, Code: surface.CodeUnavailable,
		Message: "The job could not be imported: " + message + "; try again",
	}
}

func unprocessable(code, message string) *surface.Error {
	return &surface.Error{
		Status: http.StatusUnprocessableEntity, Code: code, Message: message, Details: surface.Details{"field": "jobUrl"},
	}
}
