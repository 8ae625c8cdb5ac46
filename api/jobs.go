package api

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/api/surface"
	"greenroom/db"
	"greenroom/db/pg"
)

func (s *server) jobRoutes() []surface.Route {
	return []surface.Route{
		surface.List("/jobs", "read:jobs", s.listJobs, "status", "page", "limit"),
		surface.Post("/jobs", "write:jobs", s.createJob),
		surface.Post("/jobs/url", "write:jobs", s.importJob).MaxBody(surface.SmallBody).Weighs(0), // waits: see importsTotal
		surface.Get("/jobs/:id", "read:jobs", s.getJob),
		surface.Patch("/jobs/:id", "write:jobs", s.updateJob),
		surface.Delete("/jobs/:id", "delete:jobs", s.deleteJob),
	}
}

var jobs = surface.Resource[db.Job]{
	Name: "Job", What: "job", Get: db.GetJob, Company: func(p *db.Job) uuid.UUID { return p.CompanyID },
}

// jobInput is the body of a create (reference §2.11).
type jobInput struct {
	Title string `json:"title" validate:"required,max=200"`
	// CompanyID is the company of the key, which may be repeated; a platform key names a company with it or in the query.
	CompanyID *uuid.UUID `json:"companyId"`
	jobFields
}

// jobFields are common to a create and the inline job of an interview.
type jobFields struct {
	Description          *string               `json:"description" validate:"max=10000"`
	JobURL               *string               `json:"jobUrl" validate:"max=2048,http_url"`
	Benefits             *string               `json:"benefits" validate:"max=10000"`
	RequiredSkills       []string              `json:"requiredSkills" validate:"max=50,dive,min=1,max=128"`
	NiceToHaveSkills     []string              `json:"niceToHaveSkills" validate:"max=50,dive,min=1,max=128"`
	LanguageRequirements []languageRequirement `json:"languageRequirements" validate:"max=20"`
	Education            []string              `json:"education" validate:"max=20,dive,word"`
	Experience           *string               `json:"experience" validate:"word"`
	ContractType         *string               `json:"contractType" validate:"word"`
	Status               string                `json:"status" validate:"word"`
	Location             *jobLocation          `json:"location"`
	Salary               *salary               `json:"salary"`
	Metadata             json.RawMessage       `json:"metadata" validate:"metadata"`
}

type languageRequirement struct {
	Language    string `json:"language" validate:"required,language"`
	Proficiency string `json:"proficiency" validate:"required,oneof=A1 A2 B1 B2 C1 C2 NATIVE"`
}

type jobLocation struct {
	WorkMode    *string `json:"workMode" validate:"word"`
	Street      *string `json:"street" validate:"max=255"`
	City        *string `json:"city" validate:"max=255"`
	PostalCode  *string `json:"postalCode" validate:"max=32"`
	CountryCode *string `json:"countryCode" validate:"iso3166_1_alpha2"`
}

type salary struct {
	Min      *float64 `json:"min" validate:"gte=0,lte=1000000000000"`
	Max      *float64 `json:"max" validate:"gte=0,lte=1000000000000"`
	Currency *string  `json:"currency" validate:"iso4217"`
	Period   *string  `json:"period" validate:"word"`
}

// check refuses min > max; path is the path of the salary in the body.
func (s *salary) check(path string) error {
	if s != nil && s.Min != nil && s.Max != nil && *s.Min > *s.Max {
		return surface.Invalid(path+".max", path+".max must be at least "+path+".min")
	}
	return nil
}

func (in *jobFields) row(company uuid.UUID, title string) *db.Job {
	return &db.Job{
		CompanyID:            company,
		Title:                title,
		Description:          in.Description,
		JobURL:               in.JobURL,
		Benefits:             in.Benefits,
		RequiredSkills:       in.RequiredSkills,
		NiceToHaveSkills:     in.NiceToHaveSkills,
		LanguageRequirements: languageRows(in.LanguageRequirements),
		Education:            in.Education,
		Experience:           in.Experience,
		ContractType:         in.ContractType,
		Status:               in.Status,
		Location:             (*db.JobLocation)(in.Location),
		Salary:               (*db.Salary)(in.Salary),
		Metadata:             in.Metadata,
	}
}

func languageRows(in []languageRequirement) []db.LanguageRequirement {
	return surface.Mapped(in, func(l *languageRequirement) db.LanguageRequirement { return db.LanguageRequirement(*l) })
}

// jobPatch is the body of an update: omitted fields stay unchanged.
type jobPatch struct {
	Title                surface.Opt[string]                `json:"title" validate:"min=1,max=200"`
	Description          surface.Opt[string]                `json:"description" validate:"max=10000" null:"ok"`
	JobURL               surface.Opt[string]                `json:"jobUrl" validate:"max=2048,http_url" null:"ok"`
	Benefits             surface.Opt[string]                `json:"benefits" validate:"max=10000" null:"ok"`
	RequiredSkills       surface.Opt[[]string]              `json:"requiredSkills" validate:"max=50,dive,min=1,max=128"`
	NiceToHaveSkills     surface.Opt[[]string]              `json:"niceToHaveSkills" validate:"max=50,dive,min=1,max=128"`
	LanguageRequirements surface.Opt[[]languageRequirement] `json:"languageRequirements" validate:"max=20"`
	Education            surface.Opt[[]string]              `json:"education" validate:"max=20,dive,word"`
	Experience           surface.Opt[string]                `json:"experience" validate:"word" null:"ok"`
	ContractType         surface.Opt[string]                `json:"contractType" validate:"word" null:"ok"`
	Status               surface.Opt[string]                `json:"status" validate:"word"`
	Location             surface.Opt[jobLocation]           `json:"location" null:"ok"`
	Salary               surface.Opt[salary]                `json:"salary" null:"ok"`
	Metadata             surface.Opt[json.RawMessage]       `json:"metadata" validate:"metadata" null:"ok"`
}

// apply writes the sent fields to the row and returns their columns.
func (in *jobPatch) apply(p *db.Job) []string {
	var u surface.Update
	surface.Set(&u, "title", &p.Title, in.Title)
	surface.SetNull(&u, "description", &p.Description, in.Description)
	surface.SetNull(&u, "job_url", &p.JobURL, in.JobURL)
	surface.SetNull(&u, "benefits", &p.Benefits, in.Benefits)
	surface.Set(&u, "required_skills", &p.RequiredSkills, in.RequiredSkills)
	surface.Set(&u, "nice_to_have_skills", &p.NiceToHaveSkills, in.NiceToHaveSkills)
	surface.Set(
		&u,
		"language_requirements",
		&p.LanguageRequirements,
		surface.Opt[[]db.LanguageRequirement]{
			Set:   in.LanguageRequirements.Set,
			Value: languageRows(in.LanguageRequirements.Value),
		},
	)
	surface.Set(&u, "education", &p.Education, in.Education)
	surface.SetNull(&u, "experience", &p.Experience, in.Experience)
	surface.SetNull(&u, "contract_type", &p.ContractType, in.ContractType)
	surface.Set(&u, "status", &p.Status, in.Status)
	surface.SetNull(&u, "location", &p.Location,
		surface.Opt[db.JobLocation]{Set: in.Location.Set, Null: in.Location.Null, Value: db.JobLocation(in.Location.Value)})
	surface.SetNull(
		&u,
		"salary",
		&p.Salary,
		surface.Opt[db.Salary]{Set: in.Salary.Set, Null: in.Salary.Null, Value: db.Salary(in.Salary.Value)},
	)
	surface.SetJSON(&u, "metadata", &p.Metadata, in.Metadata)
	return u.Columns
}

type jobOutput struct {
	ID                   uuid.UUID             `json:"id"`
	Number               int64                 `json:"number"`
	CompanyID            uuid.UUID             `json:"companyId"`
	Title                string                `json:"title"`
	Description          *string               `json:"description"`
	JobURL               *string               `json:"jobUrl"`
	Benefits             *string               `json:"benefits"`
	RequiredSkills       []string              `json:"requiredSkills"`
	NiceToHaveSkills     []string              `json:"niceToHaveSkills"`
	LanguageRequirements []languageRequirement `json:"languageRequirements"`
	Education            []string              `json:"education"`
	Experience           *string               `json:"experience"`
	ContractType         *string               `json:"contractType"`
	Status               string                `json:"status"`
	Location             *jobLocation          `json:"location"`
	Salary               *salary               `json:"salary"`
	Metadata             json.RawMessage       `json:"metadata"`
	CreatedAt            surface.Timestamp     `json:"createdAt"`
	UpdatedAt            surface.Timestamp     `json:"updatedAt"`
}

func showJob(p *db.Job) jobOutput {
	return jobOutput{
		ID:               p.ID,
		Number:           p.Number,
		CompanyID:        p.CompanyID,
		Title:            p.Title,
		Description:      p.Description,
		JobURL:           p.JobURL,
		Benefits:         p.Benefits,
		RequiredSkills:   p.RequiredSkills,
		NiceToHaveSkills: p.NiceToHaveSkills,
		LanguageRequirements: surface.Mapped(
			p.LanguageRequirements,
			func(l *db.LanguageRequirement) languageRequirement { return languageRequirement(*l) },
		),
		Education:    p.Education,
		Experience:   p.Experience,
		ContractType: p.ContractType,
		Status:       p.Status,
		Location:     (*jobLocation)(p.Location),
		Salary:       (*salary)(p.Salary),
		Metadata:     p.Metadata,
		CreatedAt:    surface.Timestamp(p.CreatedAt),
		UpdatedAt:    surface.Timestamp(p.UpdatedAt),
	}
}

func (s *server) listJobs(c *gin.Context) error {
	p, err := surface.PageOf(c)
	if err != nil {
		return err
	}
	scope, err := surface.ScopeOf(c)
	if err != nil {
		return err
	}
	status, err := surface.QueryWord(c, "status")
	if err != nil {
		return err
	}
	rows, total, err := db.ListJobs(c.Request.Context(), s.DB, scope, db.JobFilter{Status: status}, p.Window())
	if err != nil {
		return err
	}
	return okPage(c, p, rows, total, showJob)
}

func (s *server) createJob(c *gin.Context) error {
	in, err := surface.Bind[jobInput](c)
	if err != nil {
		return err
	}
	company, err := s.ExistingCompanyID(c, in.CompanyID)
	if err != nil {
		return err
	}
	if err := in.Salary.check("salary"); err != nil {
		return err
	}
	job := in.row(company, in.Title)
	err = pg.InTx(
		c.Request.Context(),
		s.DB,
		func(ctx context.Context, tx bun.Tx) error { return db.CreateJob(ctx, tx, job) },
	)
	if err != nil {
		return err
	}
	return ok(c, http.StatusCreated, showJob(job))
}

func (s *server) getJob(c *gin.Context) error {
	job, err := jobs.OfPath(c, s.DB)
	if err != nil {
		return err
	}
	return ok(c, http.StatusOK, showJob(job))
}

func (s *server) updateJob(c *gin.Context) error {
	job, err := jobs.OfPath(c, s.DB)
	if err != nil {
		return err
	}
	in, err := surface.Bind[jobPatch](c)
	if err != nil {
		return err
	}
	if err := in.Salary.Value.check("salary"); err != nil {
		return err
	}
	columns := in.apply(job)
	if len(columns) == 0 { // nothing to update: no event either
		return ok(c, http.StatusOK, showJob(job))
	}
	err = pg.InTx(c.Request.Context(), s.DB, func(ctx context.Context, tx bun.Tx) error {
		return db.UpdateJob(ctx, tx, job, columns...)
	})
	if err != nil {
		return err
	}
	return ok(c, http.StatusOK, showJob(job))
}

func (s *server) deleteJob(c *gin.Context) error {
	job, err := jobs.OfPath(c, s.DB)
	if err != nil {
		return err
	}
	if err := db.DeleteJob(c.Request.Context(), s.DB, job.ID); err != nil {
		return err
	}
	return ok(c, http.StatusOK, true)
}
