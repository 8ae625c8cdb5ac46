package db

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/db/pg"
)

// CallBriefing is the data that a call provider needs to place a call.
type CallBriefing struct {
	CompanyID uuid.UUID `bun:"company_id"`
	// PhoneNumber is nil when the candidate was deleted.
	PhoneNumber     *string         `bun:"phone_number"`
	Language        string          `bun:"language"`
	Questions       json.RawMessage `bun:"questions"`
	DurationMinutes int             `bun:"duration_minutes"`
}

// BriefCall reads the data for an interview's call.
func BriefCall(ctx context.Context, db bun.IDB, interview uuid.UUID) (b CallBriefing, err error) {
	err = db.NewRaw(`SELECT CASE WHEN c.deleted_at IS NULL THEN c.phone_number END AS phone_number, i.company_id,
		a.language, a.questions, a.duration_minutes FROM interviews i
		JOIN candidates c ON c.id = i.candidate_id
		JOIN agents a ON a.id = i.agent_id WHERE i.id = ?`, interview).Scan(ctx, &b)
	if err != nil {
		return b, fmt.Errorf("brief call: %w", pg.Translate(err))
	}
	return b, nil
}

// AnalysisBriefing is the data that an analyser needs.
type AnalysisBriefing struct {
	CompanyID      uuid.UUID       `bun:"company_id"`
	JobTitle       string          `bun:"job_title"`
	JobDescription string          `bun:"job_description"`
	RequiredSkills []string        `bun:"required_skills,array"`
	Transcript     json.RawMessage `bun:"transcript"`
	Answers        json.RawMessage `bun:"answers"`
}

// BriefAnalysis reads the data of an interview whose analysis is pending; any other interview is ErrNotFound.
func BriefAnalysis(ctx context.Context, db bun.IDB, interview uuid.UUID) (b AnalysisBriefing, err error) {
	err = db.NewRaw(`SELECT COALESCE(j.title, '') AS job_title, COALESCE(j.description, '') AS job_description,
		COALESCE(j.required_skills, '{}') AS required_skills, i.company_id, i.transcript, i.answers
		FROM interviews i LEFT JOIN jobs j ON j.id = i.job_id
		WHERE i.id = ? AND i.analysis_status = ? AND i.deleted_at IS NULL`, interview, AnalysisPending).Scan(ctx, &b)
	if err != nil {
		return b, fmt.Errorf("brief analysis: %w", pg.Translate(err))
	}
	return b, nil
}

// InterviewLife returns the columns that decide how an interview continues, also for a deleted one. With lock, the row
// is locked until the transaction ends.
func InterviewLife(ctx context.Context, db bun.IDB, id uuid.UUID, lock bool) (*Interview, error) {
	i := new(Interview)
	q := db.NewSelect().
		Model(i).
		Where("i.id = ?", id).
		Column("company_id", "job_id", "status", "type", "deadline_at", "started_at",
			"max_minutes", "analysis_status", "analysis_due_at", "updated_at", "deleted_at", "invite_mail",
			"invite_mailed_at", "invite_mail_error")
	if lock {
		q = q.For("UPDATE")
	}
	if err := q.Scan(ctx); err != nil {
		return nil, fmt.Errorf("get interview: %w", pg.Translate(err))
	}
	return i, nil
}
