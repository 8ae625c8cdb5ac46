package db

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/db/pg"
)

// FocusGeneric is the focus of an agent that interviews without a job.
const FocusGeneric = "GENERIC"

// Agent is the interviewer: its type, language, voice and questions.
type Agent struct {
	bun.BaseModel `bun:"table:agents,alias:a"`

	ID                   uuid.UUID       `bun:"id,pk"`
	Number               int64           `bun:"number,autoincrement"`
	CompanyID            uuid.UUID       `bun:"company_id"`
	Name                 string          `bun:"name"`
	Type                 InterviewType   `bun:"type"`
	Focus                string          `bun:"focus"`
	Language             string          `bun:"language"`
	DurationMinutes      int             `bun:"duration_minutes"`
	Questions            []string        `bun:"questions,type:jsonb"`
	Instructions         *string         `bun:"instructions"`
	VoiceID              *string         `bun:"voice_id"`
	CompanyPhoneNumberID *string         `bun:"company_phone_number_id"`
	CEFRLevel            *string         `bun:"cefr_level"`
	Metadata             json.RawMessage `bun:"metadata,type:jsonb"`
	CreatedAt            time.Time       `bun:"created_at"`
	UpdatedAt            time.Time       `bun:"updated_at"`
	DeletedAt            *time.Time      `bun:"deleted_at"`
}

// CreateAgent stores a new agent and sets its id and times. There is no event for it.
func CreateAgent(ctx context.Context, db bun.IDB, a *Agent) error {
	a.ID, a.CreatedAt = pg.NewID(), now()
	a.UpdatedAt = a.CreatedAt
	a.Questions, a.Metadata = notNil(a.Questions), emptyObject(a.Metadata)
	if _, err := db.NewInsert().Model(a).Exec(ctx); err != nil {
		return fmt.Errorf("insert agent: %w", pg.Translate(err))
	}
	return nil
}

// GetAgent returns an agent of any company, unless it was deleted. The caller checks the company.
func GetAgent(ctx context.Context, db bun.IDB, id uuid.UUID) (*Agent, error) {
	a := new(Agent)
	if err := db.NewSelect().Model(a).Where("a.id = ? AND a.deleted_at IS NULL", id).Scan(ctx); err != nil {
		return nil, fmt.Errorf("get agent: %w", pg.Translate(err))
	}
	return a, nil
}

// AgentFilter narrows a list of agents; zero values do not.
type AgentFilter struct {
	Type  InterviewType
	Focus string
}

// ListAgents returns one page of the agents that the scope sees, newest first, and the total.
func ListAgents(ctx context.Context, db bun.IDB, s pg.Scope, f AgentFilter, p pg.Page) ([]Agent, int64, error) {
	agents := []Agent{}
	q := db.NewSelect().Model(&agents).Where("a.deleted_at IS NULL").Order("a.id DESC")
	if s.Company != nil {
		q = q.Where("a.company_id = ?", *s.Company)
	}
	if f.Type != "" {
		q = q.Where("a.type = ?", f.Type)
	}
	if f.Focus != "" {
		q = q.Where("a.focus = ?", f.Focus)
	}
	total, err := q.Limit(p.Limit).Offset(p.Offset).ScanAndCount(ctx)
	if err != nil {
		return nil, 0, fmt.Errorf("list agents: %w", err)
	}
	return agents, total, nil
}

// UpdateAgent writes the named columns of a.
func UpdateAgent(ctx context.Context, db bun.IDB, a *Agent, columns ...string) error {
	a.UpdatedAt = now()
	a.Questions, a.Metadata = notNil(a.Questions), emptyObject(a.Metadata)
	err := pg.One(db.NewUpdate().Model(a).Column(append(slices.Clone(columns), "updated_at")...).
		Where("id = ? AND deleted_at IS NULL", a.ID).Exec(ctx))
	if err != nil {
		return fmt.Errorf("update agent: %w", pg.Translate(err))
	}
	return nil
}

// DeleteAgent soft-deletes an agent. Its interviews continue.
func DeleteAgent(ctx context.Context, db bun.IDB, id uuid.UUID) error {
	if err := softDelete(ctx, db, "agents", id); err != nil {
		return fmt.Errorf("delete agent: %w", err)
	}
	return nil
}
