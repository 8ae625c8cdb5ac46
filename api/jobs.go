package api

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/db"
)

func (s *server) jobRoutes() []route {
	return []route{
		{http.MethodGet, "/jobs", "read:jobs", s.listJobs},
		{http.MethodPost, "/jobs", "write:jobs", s.createJob},
		{http.MethodGet, "/jobs/:id", "read:jobs", s.getJob},
		{http.MethodPatch, "/jobs/:id", "write:jobs", s.updateJob},
		{http.MethodDelete, "/jobs/:id", "delete:jobs", s.deleteJob},
	}
}

var jobs = resource[db.Position]{"Job", "job", db.GetPosition, func(p *db.Position) uuid.UUID { return p.CompanyID }}

// jobInput is the body of a create (reference §2.11).
type jobInput struct {
	Title string `json:"title" validate:"required,max=200"`
	jobFields
}

// jobFields are the same in a create and in the inline job of an interview.
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

// check refuses a range that is upside down; path is where the salary is in the body.
func (s *salary) check(path string) error {
	if s != nil && s.Min != nil && s.Max != nil && *s.Min > *s.Max {
		return invalid(path+".max", path+".max must be at least "+path+".min")
	}
	return nil
}

func (in *jobFields) row(company uuid.UUID, title string) *db.Position {
	return &db.Position{
		CompanyID: company, Title: title, Description: in.Description, JobURL: in.JobURL, Benefits: in.Benefits,
		RequiredSkills: in.RequiredSkills, NiceToHaveSkills: in.NiceToHaveSkills,
		LanguageRequirements: languageRows(in.LanguageRequirements), Education: in.Education, Experience: in.Experience,
		ContractType: in.ContractType, Status: in.Status, Location: (*db.JobLocation)(in.Location), Salary: (*db.Salary)(in.Salary),
		Metadata: in.Metadata,
	}
}

func languageRows(in []languageRequirement) []db.LanguageRequirement {
	return mapped(in, func(l *languageRequirement) db.LanguageRequirement { return db.LanguageRequirement(*l) })
}

// jobPatch is the body of an update: only what is sent changes.
type jobPatch struct {
	Title                opt[string]                `json:"title" validate:"min=1,max=200"`
	Description          opt[string]                `json:"description" validate:"max=10000" null:"ok"`
	JobURL               opt[string]                `json:"jobUrl" validate:"max=2048,http_url" null:"ok"`
	Benefits             opt[string]                `json:"benefits" validate:"max=10000" null:"ok"`
	RequiredSkills       opt[[]string]              `json:"requiredSkills" validate:"max=50,dive,min=1,max=128"`
	NiceToHaveSkills     opt[[]string]              `json:"niceToHaveSkills" validate:"max=50,dive,min=1,max=128"`
	LanguageRequirements opt[[]languageRequirement] `json:"languageRequirements" validate:"max=20"`
	Education            opt[[]string]              `json:"education" validate:"max=20,dive,word"`
	Experience           opt[string]                `json:"experience" validate:"word" null:"ok"`
	ContractType         opt[string]                `json:"contractType" validate:"word" null:"ok"`
	Status               opt[string]                `json:"status" validate:"word"`
	Location             opt[jobLocation]           `json:"location" null:"ok"`
	Salary               opt[salary]                `json:"salary" null:"ok"`
	Metadata             opt[json.RawMessage]       `json:"metadata" validate:"metadata" null:"ok"`
}

// apply writes what was sent into the row and names the columns.
func (in *jobPatch) apply(p *db.Position) []string {
	var u update
	put(&u, "title", &p.Title, in.Title)
	putNull(&u, "description", &p.Description, in.Description)
	putNull(&u, "job_url", &p.JobURL, in.JobURL)
	putNull(&u, "benefits", &p.Benefits, in.Benefits)
	put(&u, "required_skills", &p.RequiredSkills, in.RequiredSkills)
	put(&u, "nice_to_have_skills", &p.NiceToHaveSkills, in.NiceToHaveSkills)
	put(&u, "language_requirements", &p.LanguageRequirements,
		opt[[]db.LanguageRequirement]{Set: in.LanguageRequirements.Set, Value: languageRows(in.LanguageRequirements.Value)})
	put(&u, "education", &p.Education, in.Education)
	putNull(&u, "experience", &p.Experience, in.Experience)
	putNull(&u, "contract_type", &p.ContractType, in.ContractType)
	put(&u, "status", &p.Status, in.Status)
	putNull(&u, "location", &p.Location,
		opt[db.JobLocation]{Set: in.Location.Set, Null: in.Location.Null, Value: db.JobLocation(in.Location.Value)})
	putNull(&u, "salary", &p.Salary, opt[db.Salary]{Set: in.Salary.Set, Null: in.Salary.Null, Value: db.Salary(in.Salary.Value)})
	putJSON(&u, "metadata", &p.Metadata, in.Metadata)
	return u.columns
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
	CreatedAt            timestamp             `json:"createdAt"`
	UpdatedAt            timestamp             `json:"updatedAt"`
}

func showJob(p *db.Position) jobOutput {
	return jobOutput{
		ID: p.ID, Number: p.Number, CompanyID: p.CompanyID, Title: p.Title, Description: p.Description, JobURL: p.JobURL,
		Benefits: p.Benefits, RequiredSkills: p.RequiredSkills, NiceToHaveSkills: p.NiceToHaveSkills,
		LanguageRequirements: mapped(p.LanguageRequirements, func(l *db.LanguageRequirement) languageRequirement { return languageRequirement(*l) }),
		Education:            p.Education, Experience: p.Experience, ContractType: p.ContractType, Status: p.Status,
		Location: (*jobLocation)(p.Location), Salary: (*salary)(p.Salary), Metadata: p.Metadata,
		CreatedAt: timestamp(p.CreatedAt), UpdatedAt: timestamp(p.UpdatedAt),
	}
}

func (s *server) listJobs(c *gin.Context) error {
	p, err := pageOf(c)
	if err != nil {
		return err
	}
	scope, err := scopeOf(c)
	if err != nil {
		return err
	}
	status, err := queryWord(c, "status")
	if err != nil {
		return err
	}
	rows, total, err := db.ListPositions(c.Request.Context(), s.DB, scope, db.PositionFilter{Status: status}, p.window())
	if err != nil {
		return err
	}
	return okPage(c, p, rows, total, showJob)
}

func (s *server) createJob(c *gin.Context) error {
	company, err := s.companyFor(c)
	if err != nil {
		return err
	}
	in, err := bind[jobInput](c)
	if err != nil {
		return err
	}
	if err := in.Salary.check("salary"); err != nil {
		return err
	}
	job := in.row(company, in.Title)
	err = db.InTx(c.Request.Context(), s.DB, func(ctx context.Context, tx bun.Tx) error { return db.CreatePosition(ctx, tx, job) })
	if err != nil {
		return err
	}
	return ok(c, http.StatusCreated, showJob(job))
}

func (s *server) getJob(c *gin.Context) error {
	job, err := jobs.ofPath(c, s.DB)
	if err != nil {
		return err
	}
	return ok(c, http.StatusOK, showJob(job))
}

func (s *server) updateJob(c *gin.Context) error {
	job, err := jobs.ofPath(c, s.DB)
	if err != nil {
		return err
	}
	in, err := bind[jobPatch](c)
	if err != nil {
		return err
	}
	if err := in.Salary.Value.check("salary"); err != nil {
		return err
	}
	columns := in.apply(job)
	if len(columns) == 0 { // nothing changes, so nothing has happened
		return ok(c, http.StatusOK, showJob(job))
	}
	err = db.InTx(c.Request.Context(), s.DB, func(ctx context.Context, tx bun.Tx) error {
		return db.UpdatePosition(ctx, tx, job, columns...)
	})
	if err != nil {
		return err
	}
	return ok(c, http.StatusOK, showJob(job))
}

func (s *server) deleteJob(c *gin.Context) error {
	job, err := jobs.ofPath(c, s.DB)
	if err != nil {
		return err
	}
	if err := db.DeletePosition(c.Request.Context(), s.DB, job.ID); err != nil {
		return err
	}
	return ok(c, http.StatusOK, true)
}
