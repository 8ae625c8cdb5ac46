package api

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/api/surface"
	"greenroom/db"
	"greenroom/db/pg"
)

func (s *server) candidateRoutes() []surface.Route {
	return []surface.Route{
		surface.List("/candidates", "read:candidates", s.listCandidates, "jobId", "status", "search", "page", "limit"),
		surface.Post("/candidates", "write:candidates", s.createCandidate),
		surface.Get("/candidates/:id", "read:candidates", s.getCandidate),
		surface.Patch("/candidates/:id", "write:candidates", s.updateCandidate),
		surface.Delete("/candidates/:id", "delete:candidates", s.deleteCandidate),
		surface.Get("/candidates/:id/erasure", "read:candidates", s.getErasure),
		surface.List("/candidates/:id/analyses", "read:candidates", s.listCandidateAnalyses, "page", "limit").
			Weighs(surface.LargeList),
		surface.List("/candidates/:id/interviews", "read:candidates", s.listCandidateInterviews, "page", "limit").
			Weighs(surface.LargeList),
	}
}

var candidates = surface.Resource[db.Candidate]{
	Name:    "Candidate",
	What:    "candidate",
	Get:     db.GetCandidate,
	Company: func(c *db.Candidate) uuid.UUID { return c.CompanyID },
}

// candidateInput is the body of a create (reference §2.12). A candidate does not need a job.
type candidateInput struct {
	JobID  *uuid.UUID  `json:"jobId"`
	JobIDs []uuid.UUID `json:"jobIds" validate:"max=50"`
	candidateFields
}

// candidateFields are common to a create and the inline candidate of an interview.
type candidateFields struct {
	FirstName      string          `json:"firstName" validate:"required,max=100"`
	LastName       string          `json:"lastName" validate:"required,max=100"`
	Email          *string         `json:"email" validate:"max=254,email"`
	PhoneNumber    *string         `json:"phoneNumber" validate:"e164"`
	Status         string          `json:"status" validate:"word"`
	GDPRExpiryDate *string         `json:"gdprExpiryDate" validate:"datetime=2006-01-02"`
	OverallRating  *float64        `json:"overallRating" validate:"gte=0,lte=100"`
	Metadata       json.RawMessage `json:"metadata" validate:"metadata"`
}

// row makes a row of the fields; path is their prefix in the body ("" or "candidate.").
func (in *candidateFields) row(company uuid.UUID, path string) (*db.Candidate, error) {
	expiry, err := day(in.GDPRExpiryDate, path+"gdprExpiryDate")
	if err != nil {
		return nil, err
	}
	return &db.Candidate{
		CompanyID: company, FirstName: in.FirstName, LastName: in.LastName, Email: in.Email, PhoneNumber: in.PhoneNumber,
		Status: in.Status, GDPRExpiryDate: expiry, OverallRating: in.OverallRating, Metadata: in.Metadata,
	}, nil
}

// day parses a date that the validate tag has accepted, and refuses years before 1970.
func day(text *string, path string) (*time.Time, error) {
	if text == nil {
		return nil, nil //nolint:nilnil // no date is an ordinary answer
	}
	t, err := time.Parse(time.DateOnly, *text)
	if err != nil || t.Year() < 1970 {
		return nil, surface.Invalid(path, path+" must be a date like 2024-01-15, from 1970 on")
	}
	return &t, nil
}

// candidatePatch is the body of an update: omitted fields stay unchanged. jobIds replaces all jobs; jobId alone moves
// that job to the front and keeps the others.
type candidatePatch struct {
	JobID          surface.Opt[uuid.UUID]       `json:"jobId"`
	JobIDs         surface.Opt[[]uuid.UUID]     `json:"jobIds" validate:"max=50"`
	FirstName      surface.Opt[string]          `json:"firstName" validate:"min=1,max=100"`
	LastName       surface.Opt[string]          `json:"lastName" validate:"min=1,max=100"`
	Email          surface.Opt[string]          `json:"email" validate:"max=254,email" null:"ok"`
	PhoneNumber    surface.Opt[string]          `json:"phoneNumber" validate:"e164" null:"ok"`
	Status         surface.Opt[string]          `json:"status" validate:"word"`
	GDPRExpiryDate surface.Opt[string]          `json:"gdprExpiryDate" validate:"datetime=2006-01-02" null:"ok"`
	OverallRating  surface.Opt[float64]         `json:"overallRating" validate:"gte=0,lte=100" null:"ok"`
	Metadata       surface.Opt[json.RawMessage] `json:"metadata" validate:"metadata" null:"ok"`
}

// apply writes the sent fields, except the jobs, to the row and returns their columns.
func (in *candidatePatch) apply(c *db.Candidate) ([]string, error) {
	var u surface.Update
	surface.Set(&u, "first_name", &c.FirstName, in.FirstName)
	surface.Set(&u, "last_name", &c.LastName, in.LastName)
	surface.SetNull(&u, "email", &c.Email, in.Email)
	surface.SetNull(&u, "phone_number", &c.PhoneNumber, in.PhoneNumber)
	surface.Set(&u, "status", &c.Status, in.Status)
	surface.SetNull(&u, "overall_rating", &c.OverallRating, in.OverallRating)
	surface.SetJSON(&u, "metadata", &c.Metadata, in.Metadata)
	if !in.GDPRExpiryDate.Set {
		return u.Columns, nil
	}
	expiry, err := day(in.GDPRExpiryDate.Ptr(), "gdprExpiryDate")
	c.GDPRExpiryDate = expiry
	return append(u.Columns, "gdpr_expiry_date"), err
}

// jobsOf returns the candidate's jobs after the patch, and whether the patch has any.
func (in *candidatePatch) jobsOf(c *db.Candidate) (ids []uuid.UUID, changed bool) {
	ids = c.JobIDs
	if in.JobIDs.Set {
		ids = in.JobIDs.Value
	}
	if in.JobID.Set {
		ids = append([]uuid.UUID{in.JobID.Value}, ids...)
	}
	return distinct(ids), in.JobID.Set || in.JobIDs.Set
}

func distinct(ids []uuid.UUID) []uuid.UUID {
	out := []uuid.UUID{}
	for _, id := range ids {
		if !slices.Contains(out, id) {
			out = append(out, id)
		}
	}
	return out
}

type candidateOutput struct {
	ID             uuid.UUID         `json:"id"`
	Number         int64             `json:"number"`
	CompanyID      uuid.UUID         `json:"companyId"`
	JobID          *uuid.UUID        `json:"jobId"`
	JobIDs         []uuid.UUID       `json:"jobIds"`
	FirstName      string            `json:"firstName"`
	LastName       string            `json:"lastName"`
	Email          *string           `json:"email"`
	PhoneNumber    *string           `json:"phoneNumber"`
	Status         string            `json:"status"`
	GDPRExpiryDate *string           `json:"gdprExpiryDate"`
	OverallRating  *float64          `json:"overallRating"`
	Metadata       json.RawMessage   `json:"metadata"`
	AnalysisCount  int               `json:"analysisCount"`
	InterviewCount int               `json:"interviewCount"`
	Links          candidateLinks    `json:"links"`
	CreatedAt      surface.Timestamp `json:"createdAt"`
	UpdatedAt      surface.Timestamp `json:"updatedAt"`
}

type candidateLinks struct {
	Analyses   string `json:"analyses"`
	Interviews string `json:"interviews"`
}

func showCandidate(c *db.Candidate) candidateOutput {
	out := candidateOutput{
		ID:             c.ID,
		Number:         c.Number,
		CompanyID:      c.CompanyID,
		JobIDs:         distinct(c.JobIDs),
		FirstName:      c.FirstName,
		LastName:       c.LastName,
		Email:          c.Email,
		PhoneNumber:    c.PhoneNumber,
		Status:         c.Status,
		OverallRating:  c.OverallRating,
		Metadata:       c.Metadata,
		AnalysisCount:  c.AnalysisCount,
		InterviewCount: c.InterviewCount,
		Links: candidateLinks{
			Analyses: "/candidates/" + c.ID.String() + "/analyses", Interviews: "/candidates/" + c.ID.String() + "/interviews",
		},
		CreatedAt: surface.Timestamp(c.CreatedAt),
		UpdatedAt: surface.Timestamp(c.UpdatedAt),
	}
	if len(out.JobIDs) > 0 {
		out.JobID = &out.JobIDs[0]
	}
	if c.GDPRExpiryDate != nil {
		date := c.GDPRExpiryDate.Format(time.DateOnly)
		out.GDPRExpiryDate = &date
	}
	return out
}

// listCandidates also requires read:jobs when it filters by job (reference §2.8).
func (s *server) listCandidates(c *gin.Context) error {
	p, err := surface.PageOf(c)
	if err != nil {
		return err
	}
	scope, err := surface.ScopeOf(c)
	if err != nil {
		return err
	}
	filter, err := candidateFilterOf(c)
	if err != nil {
		return err
	}
	rows, total, err := db.ListCandidates(c.Request.Context(), s.DB, scope, filter, p.Window())
	if err != nil {
		return err
	}
	return okPage(c, p, rows, total, showCandidate)
}

func candidateFilterOf(c *gin.Context) (f db.CandidateFilter, err error) {
	if f.JobID, err = surface.QueryID(c, "jobId"); err != nil {
		return f, err
	}
	if f.JobID != nil {
		if err = surface.RequireScope(c, "read:jobs"); err != nil {
			return f, err
		}
	}
	if f.Status, err = surface.QueryWord(c, "status"); err != nil {
		return f, err
	}
	f.Search, err = surface.QueryText(c, "search")
	return f, err
}

// createCandidate also requires read:jobs (reference §2.8).
func (s *server) createCandidate(c *gin.Context) error {
	if err := surface.RequireScope(c, "read:jobs"); err != nil {
		return err
	}
	company, err := s.CallerCompany(c)
	if err != nil {
		return err
	}
	in, err := surface.Bind[candidateInput](c)
	if err != nil {
		return err
	}
	candidate, err := in.row(company, "")
	if err != nil {
		return err
	}
	candidate.JobIDs = distinct(in.JobIDs)
	if in.JobID != nil {
		candidate.JobIDs = distinct(append([]uuid.UUID{*in.JobID}, in.JobIDs...))
	}
	err = pg.InTx(c.Request.Context(), s.DB, func(ctx context.Context, tx bun.Tx) error {
		if err := checkJobs(ctx, tx, company, candidate.JobIDs); err != nil {
			return err
		}
		return db.CreateCandidate(ctx, tx, candidate, false)
	})
	if err != nil {
		return err
	}
	return ok(c, http.StatusCreated, showCandidate(candidate))
}

// checkJobs refuses jobs that do not exist or belong to another company.
func checkJobs(ctx context.Context, tx bun.Tx, company uuid.UUID, ids []uuid.UUID) error {
	for _, id := range ids {
		if _, err := jobs.Of(ctx, tx, company, id); err != nil {
			return err
		}
	}
	return nil
}

func (s *server) getCandidate(c *gin.Context) error {
	candidate, err := candidates.OfPath(c, s.DB)
	if err != nil {
		return err
	}
	return ok(c, http.StatusOK, showCandidate(candidate))
}

func (s *server) updateCandidate(c *gin.Context) error {
	candidate, err := candidates.OfPath(c, s.DB)
	if err != nil {
		return err
	}
	in, err := surface.Bind[candidatePatch](c)
	if err != nil {
		return err
	}
	columns, err := in.apply(candidate)
	if err != nil {
		return err
	}
	if len(columns) == 0 && !in.JobID.Set && !in.JobIDs.Set { // nothing to update: no event either
		return ok(c, http.StatusOK, showCandidate(candidate))
	}
	err = pg.InTx(c.Request.Context(), s.DB, func(ctx context.Context, tx bun.Tx) error {
		if err := replaceJobs(ctx, tx, candidate, &in); err != nil {
			return err
		}
		return db.UpdateCandidate(ctx, tx, candidate, columns...)
	})
	if err != nil {
		return err
	}
	return ok(c, http.StatusOK, showCandidate(candidate))
}

func replaceJobs(ctx context.Context, tx bun.Tx, candidate *db.Candidate, in *candidatePatch) error {
	ids, changed := in.jobsOf(candidate)
	if !changed {
		return nil
	}
	if err := checkJobs(ctx, tx, candidate.CompanyID, ids); err != nil {
		return err
	}
	for _, id := range ids {
		if !slices.Contains(candidate.JobIDs, id) { // the event is about the job that the candidate joins
			candidate.Through = &id
			break
		}
	}
	candidate.JobIDs = ids
	return db.ReplaceCandidateJobs(ctx, tx, candidate.ID, ids...)
}

// deleteCandidate also cancels the candidate's interviews that have not started. With erase=true it erases the person.
func (s *server) deleteCandidate(c *gin.Context) error {
	erase, err := surface.QueryOneOf(c, "erase", "true", "false")
	if err != nil {
		return err
	}
	if erase == "true" {
		return s.eraseCandidate(c)
	}
	candidate, err := candidates.OfPath(c, s.DB)
	if err != nil {
		return err
	}
	err = pg.InTx(c.Request.Context(), s.DB, func(ctx context.Context, tx bun.Tx) error {
		return db.DeleteCandidate(ctx, tx, candidate.ID)
	})
	if err != nil {
		return err
	}
	return ok(c, http.StatusOK, true)
}

// listCandidateAnalyses also requires read:interviews, because an analysis is part of an interview.
func (s *server) listCandidateAnalyses(c *gin.Context) error {
	if err := surface.RequireScope(c, "read:interviews"); err != nil {
		return err
	}
	candidate, err := candidates.OfPath(c, s.DB)
	if err != nil {
		return err
	}
	p, err := surface.PageOf(c)
	if err != nil {
		return err
	}
	rows, total, err := db.ListAnalyses(c.Request.Context(), s.DB, candidate.ID, p.Window())
	if err != nil {
		return err
	}
	return okPage(c, p, rows, total, showAnalysis)
}

// listCandidateInterviews requires the same scopes as listing interviews.
func (s *server) listCandidateInterviews(c *gin.Context) error {
	if err := surface.RequireAll(c, "read:interviews", "read:agents"); err != nil {
		return err
	}
	candidate, err := candidates.OfPath(c, s.DB)
	if err != nil {
		return err
	}
	p, err := surface.PageOf(c)
	if err != nil {
		return err
	}
	return s.answerInterviews(
		c,
		p,
		pg.Scope{Company: &candidate.CompanyID},
		db.InterviewFilter{CandidateID: &candidate.ID},
	)
}
