package db

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/db/catalog"
	"greenroom/db/pg"
)

// Invited is one line in the list of a job's invitations.
type Invited struct {
	Number       int64
	Candidate    int64
	Status       InterviewStatus
	StatusReason *string
	UpdatedAt    time.Time
}

// InvitedTo lists up to limit ONLINE interviews of a job, newest first. before, unless 0, is the number of a response:
// only older ones are listed.
func InvitedTo(ctx context.Context, db bun.IDB, job uuid.UUID, before, limit int64) ([]Invited, error) {
	is := []Invited{}
	err := db.NewRaw(`SELECT i.number, c.number AS candidate, i.status, i.status_reason, i.updated_at
		FROM interviews i JOIN candidates c ON c.id = i.candidate_id
		WHERE i.job_id = ?0 AND i.type = 'ONLINE' AND i.deleted_at IS NULL
			AND (?1 = 0 OR i.id < (SELECT b.id FROM interviews b WHERE b.number = ?1 AND b.job_id = ?0))
		ORDER BY i.id DESC LIMIT ?2`, job, before, limit).Scan(ctx, &is)
	if err != nil {
		return nil, fmt.Errorf("list invitations: %w", err)
	}
	return is, nil
}

// InterviewByCustomField returns a company's newest interview with this client-assigned id.
func InterviewByCustomField(ctx context.Context, db bun.IDB, company uuid.UUID, value string) (*Interview, error) {
	i := new(Interview)
	err := db.NewSelect().
		Model(i).
		Where("i.company_id = ? AND i.custom_field = ? AND i.deleted_at IS NULL", company, value).
		Where(candidateKept).
		Order("i.id DESC").
		Limit(1).
		Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("find interview: %w", pg.Translate(err))
	}
	return i, nil
}

// InterviewContext returns the context that an event about the interview would have now. An interview of a deleted
// candidate is ErrNotFound.
func InterviewContext(ctx context.Context, db bun.IDB, i *Interview) (*catalog.Context, error) {
	kept, err := db.NewSelect().Model(i).Where("i.id = ?", i.ID).Where(candidateKept).Exists(ctx)
	if err != nil {
		return nil, fmt.Errorf("look for interview's candidate: %w", err)
	}
	if !kept {
		return nil, pg.ErrNotFound
	}
	var about string
	var none *uuid.UUID
	err = pg.Direct(db).
		QueryRowContext(ctx, contextSQL, i.CompanyID, none, none, i.ID, none, none, none, none, none, []string(nil)).
		Scan(&about)
	if err != nil {
		return nil, fmt.Errorf("read interview's context: %w", pg.Translate(err))
	}
	c := new(catalog.Context)
	if err := json.Unmarshal([]byte(about), c); err != nil {
		return nil, fmt.Errorf("read interview's context: %w", err)
	}
	return c, nil
}
