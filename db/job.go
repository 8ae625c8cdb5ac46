package db

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/db/catalog"
	"greenroom/db/pg"
)

// JobOpen is the status of an active job. All other statuses are the client's own.
const JobOpen = "OPEN"

// Job is an opening that candidates are interviewed for.
type Job struct {
	bun.BaseModel `bun:"table:jobs,alias:j"`

	ID                   uuid.UUID             `bun:"id,pk"`
	Number               int64                 `bun:"number,autoincrement"`
	CompanyID            uuid.UUID             `bun:"company_id"`
	Title                string                `bun:"title"`
	Description          *string               `bun:"description"`
	JobURL               *string               `bun:"job_url"`
	Benefits             *string               `bun:"benefits"`
	RequiredSkills       []string              `bun:"required_skills,array"`
	NiceToHaveSkills     []string              `bun:"nice_to_have_skills,array"`
	LanguageRequirements []LanguageRequirement `bun:"language_requirements,type:jsonb"`
	Education            []string              `bun:"education,array"`
	Experience           *string               `bun:"experience"`
	ContractType         *string               `bun:"contract_type"`
	Status               string                `bun:"status"`
	Location             *JobLocation          `bun:"location,type:jsonb"`
	Salary               *Salary               `bun:"salary,type:jsonb"`
	Metadata             json.RawMessage       `bun:"metadata,type:jsonb"`
	// AgentID is the job's own agent, for contracts without agents; see EnsureJobAgent.
	AgentID *uuid.UUID `bun:"agent_id"`
	// WebhookSetID is where its AI interviews report to; AIGeneral are its other AI interview settings.
	WebhookSetID *uuid.UUID      `bun:"webhook_set_id"`
	AIGeneral    json.RawMessage `bun:"ai_general,type:jsonb,nullzero"`
	// Suite has the fields that only the interview suite's contract has.
	Suite     json.RawMessage `bun:"suite,type:jsonb,nullzero,default:'{}'"`
	CreatedAt time.Time       `bun:"created_at"`
	UpdatedAt time.Time       `bun:"updated_at"`
	DeletedAt *time.Time      `bun:"deleted_at"`
}

// LanguageRequirement is a language that a job asks for, with a CEFR level.
type LanguageRequirement struct {
	Language    string `json:"language"`
	Proficiency string `json:"proficiency"`
}

// JobLocation is where a job is done.
type JobLocation struct {
	WorkMode    *string `json:"workMode"`
	Street      *string `json:"street"`
	City        *string `json:"city"`
	PostalCode  *string `json:"postalCode"`
	CountryCode *string `json:"countryCode"`
}

// Salary is a range in a currency for a period.
type Salary struct {
	Min      *float64 `json:"min"`
	Max      *float64 `json:"max"`
	Currency *string  `json:"currency"`
	Period   *string  `json:"period"`
}

// CreateJob stores a new job, with the event job.created. It sets id and times; an empty status becomes OPEN.
func CreateJob(ctx context.Context, tx bun.Tx, p *Job) error {
	p.ID, p.CreatedAt = pg.NewID(), now()
	p.UpdatedAt = p.CreatedAt
	if p.Status == "" {
		p.Status = JobOpen
	}
	p.Fill()
	if err := p.copyCompanySettings(ctx, tx); err != nil {
		return err
	}
	if _, err := tx.NewInsert().Model(p).Exec(ctx); err != nil {
		return fmt.Errorf("insert job: %w", pg.Translate(err))
	}
	return recordJob(ctx, tx, p, catalog.JobCreated, nil)
}

// copyCompanySettings copies the company's AI interview settings to a new job. Its lock makes changes of them wait.
func (p *Job) copyCompanySettings(ctx context.Context, tx bun.Tx) error {
	var general *string
	err := tx.NewRaw("SELECT webhook_set_id, ai_general::text FROM companies WHERE id = ? FOR SHARE", p.CompanyID).
		Scan(ctx, &p.WebhookSetID, &general)
	if err != nil {
		return fmt.Errorf("read company's settings: %w", pg.Translate(err))
	}
	if general != nil {
		p.AIGeneral = json.RawMessage(*general)
	}
	return nil
}

// Fill replaces nil by empty values: these columns are NOT NULL.
func (p *Job) Fill() {
	p.RequiredSkills, p.NiceToHaveSkills = notNil(p.RequiredSkills), notNil(p.NiceToHaveSkills)
	p.LanguageRequirements, p.Education = notNil(p.LanguageRequirements), notNil(p.Education)
	p.Metadata, p.Suite = emptyObject(p.Metadata), emptyObject(p.Suite)
}

func notNil[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// now returns the time in the database's precision, so that a created row and the stored one are equal.
func now() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }

// GetJob returns a job of any company, unless it was deleted. The caller checks the company.
func GetJob(ctx context.Context, db bun.IDB, id uuid.UUID) (*Job, error) {
	p := new(Job)
	if err := db.NewSelect().Model(p).Where("j.id = ? AND j.deleted_at IS NULL", id).Scan(ctx); err != nil {
		return nil, fmt.Errorf("get job: %w", pg.Translate(err))
	}
	return p, nil
}

// LockJob locks a job's row until tx ends, as Lock does, and returns the job.
func LockJob(ctx context.Context, tx bun.Tx, id uuid.UUID) (*Job, error) {
	if err := Lock(ctx, tx, "jobs", id); err != nil {
		return nil, err
	}
	return GetJob(ctx, tx, id)
}

// JobFilter narrows a list of jobs; zero values do not.
type JobFilter struct{ Status string }

// ListJobs returns one page of the jobs that the scope sees, newest first, and the total.
func ListJobs(
	ctx context.Context,
	db bun.IDB,
	s pg.Scope,
	f JobFilter,
	p pg.Page,
) ([]Job, int64, error) {
	jobs := []Job{}
	q := db.NewSelect().Model(&jobs).Where("j.deleted_at IS NULL").Order("j.id DESC")
	if s.Company != nil {
		q = q.Where("j.company_id = ?", *s.Company)
	}
	if f.Status != "" {
		q = q.Where("j.status = ?", f.Status)
	}
	total, err := q.Limit(p.Limit).Offset(p.Offset).ScanAndCount(ctx)
	if err != nil {
		return nil, 0, fmt.Errorf("list jobs: %w", err)
	}
	return jobs, total, nil
}

// UpdateJob writes the named columns of p, with job.updated.
func UpdateJob(ctx context.Context, tx bun.Tx, p *Job, columns ...string) error {
	p.UpdatedAt = now()
	p.Fill()
	err := pg.One(tx.NewUpdate().Model(p).Column(append(slices.Clone(columns), "updated_at")...).
		Where("id = ? AND deleted_at IS NULL", p.ID).Exec(ctx))
	if err != nil {
		return fmt.Errorf("update job: %w", pg.Translate(err))
	}
	return recordJob(ctx, tx, p, catalog.JobUpdated, columns)
}

// DeleteJob soft-deletes a job. Its interviews continue, and its candidates stay.
func DeleteJob(ctx context.Context, db bun.IDB, id uuid.UUID) error {
	if err := softDelete(ctx, db, "jobs", id); err != nil {
		return fmt.Errorf("delete job: %w", err)
	}
	return nil
}

// softDelete sets deleted_at; a row that is missing or deleted is ErrNotFound. For the main resources the same
// statement writes the audit log, with the actor of the context.
func softDelete(ctx context.Context, db bun.IDB, table string, id uuid.UUID) error {
	const remove = "UPDATE ? SET deleted_at = now(), updated_at = now() WHERE id = ? AND deleted_at IS NULL"
	if !slices.Contains([]string{"agents", "candidates", "event_types", "jobs"}, table) {
		return pg.One(db.ExecContext(ctx, remove, bun.Ident(table), id))
	}
	return pg.One(
		db.ExecContext(ctx, "WITH gone AS ("+remove+` RETURNING id, company_id)
			INSERT INTO audit_log (id, company_id, actor, action, target_type, target_id)
			SELECT ?, company_id, ?, ?, ?, id::text FROM gone`,
			bun.Ident(table), id, pg.NewID(), actorOf(ctx), AuditDeleted, table),
	)
}

type positionData struct {
	JobID  uuid.UUID `json:"jobId"`
	Title  string    `json:"title"`
	Status string    `json:"status"`
}

func recordJob(ctx context.Context, tx bun.Tx, p *Job, eventType string, changed []string) error {
	data, err := json.Marshal(positionData{p.ID, p.Title, p.Status})
	if err != nil {
		return fmt.Errorf("encode job event: %w", err)
	}
	return recordAbout(ctx, tx, About{Company: p.CompanyID, Job: &p.ID, Changed: changed}, data, eventType)
}
