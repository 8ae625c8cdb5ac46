package db

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/db/catalog"
	"greenroom/db/delivery"
	"greenroom/db/pg"
)

// Candidate is a person who may be interviewed.
type Candidate struct {
	bun.BaseModel `bun:"table:candidates,alias:c"`

	ID             uuid.UUID       `bun:"id,pk"`
	Number         int64           `bun:"number,autoincrement"`
	CompanyID      uuid.UUID       `bun:"company_id"`
	FirstName      string          `bun:"first_name"`
	LastName       string          `bun:"last_name"`
	Email          *string         `bun:"email"`
	PhoneNumber    *string         `bun:"phone_number"`
	Status         string          `bun:"status"`
	GDPRExpiryDate *time.Time      `bun:"gdpr_expiry_date,type:date"`
	OverallRating  *float64        `bun:"overall_rating"`
	Metadata       json.RawMessage `bun:"metadata,type:jsonb"`
	// Suite has the fields that only the interview suite's contract has.
	Suite     json.RawMessage `bun:"suite,type:jsonb,nullzero,default:'{}'"`
	CreatedAt time.Time       `bun:"created_at"`
	UpdatedAt time.Time       `bun:"updated_at"`
	DeletedAt *time.Time      `bun:"deleted_at"`

	// JobIDs are the candidate's jobs, in the order in which they were added.
	JobIDs []uuid.UUID `bun:"-"`
	// Through is the job that events about a change refer to, for contracts that address candidates through a job. Nil:
	// the first job.
	Through        *uuid.UUID `bun:"-"`
	InterviewCount int        `bun:"interview_count,scanonly"`
	// AnalysisCount counts completed analyses.
	AnalysisCount int `bun:"analysis_count,scanonly"`
	// HoldsEmail reports whether the e-mail address stands for this candidate. Only CandidateByEmail sets it.
	HoldsEmail bool `bun:"holds_email,scanonly"`
}

// CandidateApplied is the status of a new candidate.
const CandidateApplied = "APPLIED"

// CreateCandidate stores a new candidate and its jobs, with the event candidate.created unless invited: then an
// invitation with its own event follows in the same transaction. The caller checks the jobs.
func CreateCandidate(ctx context.Context, tx bun.Tx, c *Candidate, invited bool) error {
	c.ID, c.CreatedAt = pg.NewID(), now()
	c.UpdatedAt = c.CreatedAt
	c.Metadata = emptyObject(c.Metadata)
	if c.Status == "" {
		c.Status = CandidateApplied
	}
	if _, err := tx.NewInsert().Model(c).Exec(ctx); err != nil {
		return fmt.Errorf("insert candidate: %w", pg.Translate(err))
	}
	if err := AddCandidateJobs(ctx, tx, c.ID, c.JobIDs...); err != nil {
		return err
	}
	if invited {
		return nil
	}
	return recordCandidate(ctx, tx, c, catalog.CandidateCreated, nil)
}

// AddCandidateJobs appends jobs to a candidate's. A job that the candidate has keeps its place.
func AddCandidateJobs(ctx context.Context, tx bun.Tx, candidate uuid.UUID, jobs ...uuid.UUID) error {
	if len(jobs) == 0 {
		return nil
	}
	// ReplaceCandidateJobs takes this lock too, so that two writers cannot deadlock.
	if _, err := tx.ExecContext(ctx, "SELECT 1 FROM candidates WHERE id = ? FOR SHARE", candidate); err != nil {
		return fmt.Errorf("lock candidate: %w", err)
	}
	// created_at gives the order, so each job is a microsecond later than the one before.
	for i, job := range jobs {
		_, err := tx.ExecContext(ctx, `INSERT INTO candidate_jobs (candidate_id, job_id, created_at)
			VALUES (?, ?, clock_timestamp() + ? * interval '1 microsecond') ON CONFLICT DO NOTHING`, candidate, job, i)
		if err != nil {
			return fmt.Errorf("add candidate's jobs: %w", pg.Translate(err))
		}
	}
	return nil
}

// ReplaceCandidateJobs replaces all jobs of a candidate, in the given order.
func ReplaceCandidateJobs(ctx context.Context, tx bun.Tx, candidate uuid.UUID, jobs ...uuid.UUID) error {
	if _, err := tx.ExecContext(ctx, "SELECT 1 FROM candidates WHERE id = ? FOR NO KEY UPDATE", candidate); err != nil {
		return fmt.Errorf("lock candidate: %w", err)
	}
	if _, err := tx.ExecContext(ctx, "DELETE FROM candidate_jobs WHERE candidate_id = ?", candidate); err != nil {
		return fmt.Errorf("remove candidate's jobs: %w", err)
	}
	return AddCandidateJobs(ctx, tx, candidate, jobs...)
}

const candidateCounts = `(SELECT count(*) FROM interviews i WHERE i.candidate_id = c.id AND i.deleted_at IS NULL) AS
  interview_count,
	(SELECT count(*) FROM analyses an JOIN interviews i ON i.id = an.interview_id
		WHERE an.candidate_id = c.id AND an.status = 'COMPLETED' AND i.deleted_at IS NULL) AS analysis_count`

// GetCandidate returns a candidate of any company, unless it was deleted. The caller checks the company.
func GetCandidate(ctx context.Context, db bun.IDB, id uuid.UUID) (*Candidate, error) {
	cs := make([]Candidate, 1)
	q := db.NewSelect().
		Model(&cs[0]).
		ColumnExpr("c.*").
		ColumnExpr(candidateCounts).
		Where("c.id = ? AND c.deleted_at IS NULL", id)
	if err := q.Scan(ctx); err != nil {
		return nil, fmt.Errorf("get candidate: %w", pg.Translate(err))
	}
	return &cs[0], loadCandidateJobs(ctx, db, cs)
}

// loadCandidateJobs sets JobIDs, without deleted jobs.
func loadCandidateJobs(ctx context.Context, db bun.IDB, cs []Candidate) error {
	byID := make(map[uuid.UUID]*Candidate, len(cs))
	ids := make([]uuid.UUID, len(cs))
	for i := range cs {
		cs[i].JobIDs = []uuid.UUID{}
		byID[cs[i].ID], ids[i] = &cs[i], cs[i].ID
	}
	if len(ids) == 0 {
		return nil
	}
	var rows []struct{ CandidateID, JobID uuid.UUID }
	err := db.NewRaw(`SELECT cj.candidate_id, cj.job_id FROM candidate_jobs cj JOIN jobs j ON j.id = cj.job_id AND
		j.deleted_at IS NULL
		WHERE cj.candidate_id IN (?) ORDER BY cj.created_at, cj.job_id`, bun.List(ids)).
		Scan(ctx, &rows)
	if err != nil {
		return fmt.Errorf("list candidates' jobs: %w", err)
	}
	for _, r := range rows {
		byID[r.CandidateID].JobIDs = append(byID[r.CandidateID].JobIDs, r.JobID)
	}
	return nil
}

// OpenJobsOf returns the candidate's active jobs: those that are OPEN and not deleted.
func OpenJobsOf(ctx context.Context, db bun.IDB, candidate uuid.UUID) ([]uuid.UUID, error) {
	ids := []uuid.UUID{}
	err := db.NewRaw(`SELECT j.id FROM candidate_jobs cj JOIN jobs j ON j.id = cj.job_id
		WHERE cj.candidate_id = ? AND j.status = ? AND j.deleted_at IS NULL ORDER BY cj.created_at,
		j.id`, candidate, JobOpen).
		Scan(ctx, &ids)
	if err != nil {
		return nil, fmt.Errorf("list candidate's open jobs: %w", err)
	}
	return ids, nil
}

// CandidateFilter narrows a list of candidates; zero values do not.
type CandidateFilter struct {
	JobID  *uuid.UUID
	Status string
	// Search matches a part of the full name or the e-mail address, in any case.
	Search string
}

// ListCandidates returns one page of the candidates that the scope sees, newest first, and the total.
func ListCandidates(
	ctx context.Context,
	db bun.IDB,
	s pg.Scope,
	f CandidateFilter,
	p pg.Page,
) ([]Candidate, int64, error) {
	cs := []Candidate{}
	q := db.NewSelect().
		Model(&cs).
		ColumnExpr("c.*").
		ColumnExpr(candidateCounts).
		Where("c.deleted_at IS NULL").
		Order("c.id DESC")
	if s.Company != nil {
		q = q.Where("c.company_id = ?", *s.Company)
	}
	if f.JobID != nil {
		q = q.Where("EXISTS (SELECT 1 FROM candidate_jobs cj WHERE cj.candidate_id = c.id AND cj.job_id = ?)", *f.JobID)
	}
	if f.Status != "" {
		q = q.Where("c.status = ?", f.Status)
	}
	if f.Search != "" {
		like := "%" + likeEscaper.Replace(f.Search) + "%"
		q = q.Where("(c.first_name || ' ' || c.last_name ILIKE ? OR c.email ILIKE ?)", like, like)
	}
	total, err := q.Limit(p.Limit).Offset(p.Offset).ScanAndCount(ctx)
	if err != nil {
		return nil, 0, fmt.Errorf("list candidates: %w", err)
	}
	return cs, total, loadCandidateJobs(ctx, db, cs)
}

// likeEscaper escapes the wildcards of LIKE.
var likeEscaper = strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`)

// UpdateCandidate writes the named columns of c, with the event candidate.updated. Jobs are replaced separately,
// before.
func UpdateCandidate(ctx context.Context, tx bun.Tx, c *Candidate, columns ...string) error {
	c.UpdatedAt = now()
	c.Metadata = emptyObject(c.Metadata)
	err := pg.One(tx.NewUpdate().Model(c).Column(append(slices.Clone(columns), "updated_at")...).
		Where("id = ? AND deleted_at IS NULL", c.ID).Exec(ctx))
	if err != nil {
		return fmt.Errorf("update candidate: %w", pg.Translate(err))
	}
	return recordCandidate(ctx, tx, c, catalog.CandidateUpdated, columns)
}

// DeleteCandidate soft-deletes a candidate and its interviews that have ended, and cancels those that have not started,
// so that a person who asked to be removed is not called. All public links of the candidate end. An interview in
// progress continues to its end and is then deleted, without answers (FinishInterview).
func DeleteCandidate(ctx context.Context, tx bun.Tx, id uuid.UUID) error {
	if err := softDelete(ctx, tx, "candidates", id); err != nil {
		return fmt.Errorf("delete candidate: %w", err)
	}
	if err := cancelScheduled(ctx, tx, ReasonCandidateDeleted, "candidate_id = ?", id); err != nil {
		return err
	}
	return deleteEnded(ctx, tx, id)
}

// deleteEnded soft-deletes the candidate's interviews that were held. Canceled ones stay visible: they have no answers.
func deleteEnded(ctx context.Context, tx bun.Tx, candidate uuid.UUID) error {
	var ended []uuid.UUID
	err := tx.NewRaw(`UPDATE interviews SET deleted_at = now(), updated_at = clock_timestamp()
		WHERE candidate_id = ? AND status IN ('COMPLETED', 'FAILED') AND deleted_at IS NULL RETURNING id`, candidate).
		Scan(ctx, &ended)
	if err != nil {
		return fmt.Errorf("delete candidate's interviews: %w", err)
	}
	for _, id := range ended {
		if err := delivery.AddCommand(ctx, tx, InterviewChanged, id, nil); err != nil {
			return err
		}
	}
	return nil
}

// cancelScheduled cancels the SCHEDULED interviews that match the condition.
func cancelScheduled(ctx context.Context, tx bun.Tx, reason, where string, args ...any) error {
	var waiting []uuid.UUID
	err := tx.NewRaw("SELECT id FROM interviews WHERE "+where+" AND status = 'SCHEDULED' ORDER BY id FOR UPDATE", args...).
		Scan(ctx, &waiting)
	if err != nil {
		return fmt.Errorf("list candidate's interviews: %w", err)
	}
	for _, id := range waiting {
		if _, err := CancelInterview(ctx, tx, id, reason); err != nil {
			return err
		}
	}
	return nil
}

// lockCandidateShared keeps a candidate from being deleted until tx ends; a deleted one is ErrNotFound.
func lockCandidateShared(ctx context.Context, tx bun.Tx, candidate uuid.UUID) error {
	err := pg.One(tx.ExecContext(ctx, "SELECT 1 FROM candidates WHERE id = ? AND deleted_at IS NULL FOR SHARE", candidate))
	if err != nil {
		return fmt.Errorf("hold candidate: %w", err)
	}
	return nil
}

type candidateData struct {
	CandidateID uuid.UUID   `json:"candidateId"`
	JobIDs      []uuid.UUID `json:"jobIds"`
	Status      string      `json:"status"`
}

// recordCandidate records ids and the status only. A receiver that may see personal data reads the API, or uses a
// profile that includes it.
func recordCandidate(ctx context.Context, tx bun.Tx, c *Candidate, eventType string, changed []string) error {
	about := About{Company: c.CompanyID, Candidate: &c.ID, Job: c.Through, Changed: changed}
	if about.Job == nil && len(c.JobIDs) > 0 {
		about.Job = &c.JobIDs[0]
	}
	return c.record(ctx, tx, about, eventType)
}

func (c *Candidate) record(ctx context.Context, tx bun.Tx, about About, eventType string) error {
	data, err := json.Marshal(candidateData{c.ID, notNil(c.JobIDs), c.Status})
	if err != nil {
		return fmt.Errorf("encode candidate event: %w", err)
	}
	return recordAbout(ctx, tx, about, data, eventType)
}

// recordInterviewOf records candidate.updated for a change of a candidate's interviews that no other event of the
// candidate reports. A deleted candidate has no more events.
func recordInterviewOf(ctx context.Context, tx bun.Tx, i *Interview) error {
	c, err := GetCandidate(ctx, tx, i.CandidateID)
	if errors.Is(err, pg.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	about := About{Company: i.CompanyID, Job: i.JobID, Candidate: &c.ID, Interview: &i.ID}
	return c.record(ctx, tx, about, catalog.CandidateUpdated)
}
