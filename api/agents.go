package api

import (
	"encoding/json"
	"net/http"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"greenroom/api/surface"
	"greenroom/db"
)

func (s *server) agentRoutes() []surface.Route {
	return []surface.Route{
		surface.List("/agents", "read:agents", s.listAgents, "type", "focus", "page", "limit").
			Weighs(surface.LargeList),
		surface.Post("/agents", "write:agents", s.createAgent),
		surface.Get("/agents/:id", "read:agents", s.getAgent),
		surface.Patch("/agents/:id", "write:agents", s.updateAgent),
		surface.Delete("/agents/:id", "delete:agents", s.deleteAgent),
	}
}

var agents = surface.Resource[db.Agent]{
	Name: "Agent", What: "agent", Get: db.GetAgent, Company: func(a *db.Agent) uuid.UUID { return a.CompanyID },
}

// Defaults for fields that the client omits.
const (
	defaultFocus    = "SCREENING"
	defaultLanguage = "EN"
	defaultDuration = 15 // minutes
)

// agentInput is the body of a create and the inline agent of an interview (reference §2.14).
type agentInput struct {
	Name                 string          `json:"name" validate:"required,max=255"`
	Type                 string          `json:"type" validate:"required,oneof=ONLINE PHONE"`
	Focus                *string         `json:"focus" validate:"word"`
	Language             *string         `json:"language" validate:"language"`
	Duration             *int            `json:"duration" validate:"gte=1,lte=240"`
	Questions            []string        `json:"questions" validate:"max=50,dive,min=1,max=1000"`
	Instructions         *string         `json:"instructions" validate:"max=10000"`
	VoiceID              *string         `json:"voiceId" validate:"max=255"`
	CompanyPhoneNumberID *string         `json:"companyPhoneNumberId" validate:"max=255"`
	CEFRLevel            *string         `json:"cefrLevel" validate:"oneof=A1 A2 B1 B2 C1 C2"`
	Metadata             json.RawMessage `json:"metadata" validate:"metadata"`
}

func (in *agentInput) row(company uuid.UUID) *db.Agent {
	return &db.Agent{
		CompanyID: company,
		Name:      in.Name,
		Type:      db.InterviewType(in.Type),
		Focus:     or(in.Focus, defaultFocus),
		Language: or(
			in.Language,
			defaultLanguage,
		),
		DurationMinutes:      or(in.Duration, defaultDuration),
		Questions:            in.Questions,
		Instructions:         in.Instructions,
		VoiceID:              in.VoiceID,
		CompanyPhoneNumberID: in.CompanyPhoneNumberID,
		CEFRLevel:            in.CEFRLevel,
		Metadata:             in.Metadata,
	}
}

func or[T any](v *T, unset T) T {
	if v == nil {
		return unset
	}
	return *v
}

// agentPatch is the body of an update: omitted fields stay unchanged. Existing interviews keep their type.
type agentPatch struct {
	Name                 surface.Opt[string]          `json:"name" validate:"min=1,max=255"`
	Type                 surface.Opt[string]          `json:"type" validate:"oneof=ONLINE PHONE"`
	Focus                surface.Opt[string]          `json:"focus" validate:"word"`
	Language             surface.Opt[string]          `json:"language" validate:"language"`
	Duration             surface.Opt[int]             `json:"duration" validate:"gte=1,lte=240"`
	Questions            surface.Opt[[]string]        `json:"questions" validate:"max=50,dive,min=1,max=1000"`
	Instructions         surface.Opt[string]          `json:"instructions" validate:"max=10000" null:"ok"`
	VoiceID              surface.Opt[string]          `json:"voiceId" validate:"max=255" null:"ok"`
	CompanyPhoneNumberID surface.Opt[string]          `json:"companyPhoneNumberId" validate:"max=255" null:"ok"`
	CEFRLevel            surface.Opt[string]          `json:"cefrLevel" validate:"oneof=A1 A2 B1 B2 C1 C2" null:"ok"`
	Metadata             surface.Opt[json.RawMessage] `json:"metadata" validate:"metadata" null:"ok"`
}

// apply writes the sent fields to the row and returns their columns.
func (in *agentPatch) apply(a *db.Agent) []string {
	var u surface.Update
	surface.Set(&u, "name", &a.Name, in.Name)
	surface.Set(
		&u,
		"type",
		&a.Type,
		surface.Opt[db.InterviewType]{Set: in.Type.Set, Value: db.InterviewType(in.Type.Value)},
	)
	surface.Set(&u, "focus", &a.Focus, in.Focus)
	surface.Set(&u, "language", &a.Language, in.Language)
	surface.Set(&u, "duration_minutes", &a.DurationMinutes, in.Duration)
	surface.Set(&u, "questions", &a.Questions, in.Questions)
	surface.SetNull(&u, "instructions", &a.Instructions, in.Instructions)
	surface.SetNull(&u, "voice_id", &a.VoiceID, in.VoiceID)
	surface.SetNull(&u, "company_phone_number_id", &a.CompanyPhoneNumberID, in.CompanyPhoneNumberID)
	surface.SetNull(&u, "cefr_level", &a.CEFRLevel, in.CEFRLevel)
	surface.SetJSON(&u, "metadata", &a.Metadata, in.Metadata)
	return u.Columns
}

type agentOutput struct {
	ID                   uuid.UUID         `json:"id"`
	Number               int64             `json:"number"`
	CompanyID            uuid.UUID         `json:"companyId"`
	Name                 string            `json:"name"`
	Type                 db.InterviewType  `json:"type"`
	Focus                string            `json:"focus"`
	Language             string            `json:"language"`
	Duration             int               `json:"duration"`
	Questions            []string          `json:"questions"`
	Instructions         *string           `json:"instructions"`
	VoiceID              *string           `json:"voiceId"`
	CompanyPhoneNumberID *string           `json:"companyPhoneNumberId"`
	CEFRLevel            *string           `json:"cefrLevel"`
	Metadata             json.RawMessage   `json:"metadata"`
	CreatedAt            surface.Timestamp `json:"createdAt"`
	UpdatedAt            surface.Timestamp `json:"updatedAt"`
}

func showAgent(a *db.Agent) agentOutput {
	return agentOutput{
		ID: a.ID, Number: a.Number, CompanyID: a.CompanyID, Name: a.Name, Type: a.Type, Focus: a.Focus, Language: a.Language,
		Duration: a.DurationMinutes, Questions: a.Questions, Instructions: a.Instructions, VoiceID: a.VoiceID,
		CompanyPhoneNumberID: a.CompanyPhoneNumberID, CEFRLevel: a.CEFRLevel, Metadata: a.Metadata,
		CreatedAt: surface.Timestamp(a.CreatedAt), UpdatedAt: surface.Timestamp(a.UpdatedAt),
	}
}

func (s *server) listAgents(c *gin.Context) error {
	p, err := surface.PageOf(c)
	if err != nil {
		return err
	}
	scope, err := surface.ScopeOf(c)
	if err != nil {
		return err
	}
	kind, err := surface.QueryOneOf(c, "type", string(db.Online), string(db.Phone))
	if err != nil {
		return err
	}
	focus, err := surface.QueryWord(c, "focus")
	if err != nil {
		return err
	}
	filter := db.AgentFilter{Type: db.InterviewType(kind), Focus: focus}
	rows, total, err := db.ListAgents(c.Request.Context(), s.DB, scope, filter, p.Window())
	if err != nil {
		return err
	}
	return okPage(c, p, rows, total, showAgent)
}

func (s *server) createAgent(c *gin.Context) error {
	company, err := s.CallerCompany(c)
	if err != nil {
		return err
	}
	in, err := surface.Bind[agentInput](c)
	if err != nil {
		return err
	}
	agent := in.row(company)
	if err := db.CreateAgent(c.Request.Context(), s.DB, agent); err != nil {
		return err
	}
	return ok(c, http.StatusCreated, showAgent(agent))
}

func (s *server) getAgent(c *gin.Context) error {
	agent, err := agents.OfPath(c, s.DB)
	if err != nil {
		return err
	}
	return ok(c, http.StatusOK, showAgent(agent))
}

func (s *server) updateAgent(c *gin.Context) error {
	agent, err := agents.OfPath(c, s.DB)
	if err != nil {
		return err
	}
	in, err := surface.Bind[agentPatch](c)
	if err != nil {
		return err
	}
	if err := db.UpdateAgent(c.Request.Context(), s.DB, agent, in.apply(agent)...); err != nil {
		return err
	}
	return ok(c, http.StatusOK, showAgent(agent))
}

func (s *server) deleteAgent(c *gin.Context) error {
	agent, err := agents.OfPath(c, s.DB)
	if err != nil {
		return err
	}
	if err := db.DeleteAgent(c.Request.Context(), s.DB, agent.ID); err != nil {
		return err
	}
	return ok(c, http.StatusOK, true)
}
