package db

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/db/pg"
)

// AIGeneral are a job's settings for AI interviews. Each new job copies those of its company. Nil: never set.
type AIGeneral struct {
	// Cutoff is the score, 0–10, from which a candidate qualifies.
	Cutoff         *float64 `json:"cutoff,omitempty"`
	MinMinutes     *int     `json:"minMinutes,omitempty"`
	MaxMinutes     *int     `json:"maxMinutes,omitempty"`
	MobileFriendly *bool    `json:"mobileFriendly,omitempty"`
	Accent         *string  `json:"accent,omitempty"`
	Gender         *string  `json:"gender,omitempty"`
	// Language is a name such as "English".
	Language *string `json:"language,omitempty"`
}

// CompanyGeneral returns the settings that a company's new jobs copy.
func CompanyGeneral(ctx context.Context, db bun.IDB, company uuid.UUID) (AIGeneral, error) {
	return readGeneral(ctx, db, "SELECT ai_general::text FROM companies WHERE id = ?", company)
}

// JobGeneral returns the settings of a job.
func JobGeneral(ctx context.Context, db bun.IDB, job uuid.UUID) (AIGeneral, error) {
	return readGeneral(ctx, db, "SELECT ai_general::text FROM jobs WHERE id = ?", job)
}

func readGeneral(ctx context.Context, db bun.IDB, query string, id uuid.UUID) (g AIGeneral, err error) {
	var raw *string
	if err := db.NewRaw(query, id).Scan(ctx, &raw); err != nil {
		return g, fmt.Errorf("read general settings: %w", pg.Translate(err))
	}
	if raw == nil {
		return g, nil
	}
	if err := json.Unmarshal([]byte(*raw), &g); err != nil {
		return g, fmt.Errorf("read general settings: %w", err)
	}
	return g, nil
}

// ChangeCompanyGeneral changes the settings for new jobs and, with everywhere, those of all existing jobs. An error of
// change is returned unchanged.
func ChangeCompanyGeneral(
	ctx context.Context,
	tx bun.Tx,
	company uuid.UUID,
	change func(*AIGeneral) error,
	everywhere bool,
) (AIGeneral, error) {
	if err := LockCompany(ctx, tx, company); err != nil {
		return AIGeneral{}, err
	}
	g, err := CompanyGeneral(ctx, tx, company)
	if err != nil {
		return g, err
	}
	if err := change(&g); err != nil {
		return g, err
	}
	raw, err := json.Marshal(g)
	if err != nil {
		return g, fmt.Errorf("encode general settings: %w", err)
	}
	queries := []string{"UPDATE companies SET ai_general = ?::jsonb WHERE id = ?"}
	if everywhere {
		queries = append(queries, "UPDATE jobs SET ai_general = ?::jsonb WHERE company_id = ?")
	}
	for _, query := range queries {
		if _, err := tx.ExecContext(ctx, query, string(raw), company); err != nil {
			return g, fmt.Errorf("store general settings: %w", err)
		}
	}
	return g, nil
}

// ApplyTo sets an agent's language, voice and duration from the settings; a setting that is nil leaves the agent's
// value. language is the code of g.Language, voice the id for its accent and gender.
func (g AIGeneral) ApplyTo(ctx context.Context, tx bun.Tx, a *Agent, language, voice *string) error {
	var columns []string
	if language != nil && a.Language != *language {
		a.Language, columns = *language, append(columns, "language")
	}
	if voice != nil && !equal(a.VoiceID, voice) {
		a.VoiceID, columns = voice, append(columns, "voice_id")
	}
	if g.MaxMinutes != nil && a.DurationMinutes != *g.MaxMinutes {
		a.DurationMinutes, columns = *g.MaxMinutes, append(columns, "duration_minutes")
	}
	if len(columns) == 0 {
		return nil
	}
	return UpdateAgent(ctx, tx, a, columns...)
}
