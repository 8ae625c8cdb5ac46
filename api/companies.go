package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/api/console"
	"greenroom/api/surface"
	"greenroom/db"
	"greenroom/db/pg"
)

func (s *server) companyRoutes() []surface.Route {
	return []surface.Route{
		surface.List("/companies", "read:companies", s.listCompanies, "page", "limit"),
		surface.Post("/companies", "write:companies", s.createCompany),
		surface.Get("/companies/:id", "read:companies", s.getCompany),
		surface.Patch("/companies/:id", "write:companies", s.updateCompany),
		surface.Post("/companies/:id/portal-links", console.Scope, s.createPortalLink).MaxBody(surface.SmallBody),
	}
}

// companyInput is the body of a create (reference §2.15).
type companyInput struct {
	Name        string          `json:"name" validate:"required,min=2,max=100"`
	Description *string         `json:"description" validate:"min=1,max=1000"`
	Metadata    json.RawMessage `json:"metadata" validate:"metadata"`
	OwnerEmail  *string         `json:"ownerEmail" validate:"max=254,email"`
	NotifyEmail *string         `json:"notifyEmail" validate:"max=254,email"`
	Website     *string         `json:"website" validate:"max=2048,http_url"`
	Industry    *string         `json:"industry" validate:"max=255"`
	Size        *string         `json:"size" validate:"max=255"`
	Location    *string         `json:"location" validate:"max=255"`
	Settings    companySettings `json:"settings"`
}

type companySettings struct {
	Timezone string `json:"timezone,omitempty" validate:"timezone"`
	Locale   string `json:"locale,omitempty" validate:"bcp47_language_tag"`
}

// companyPatch is the body of an update: omitted fields stay unchanged.
type companyPatch struct {
	Name        surface.Opt[string]          `json:"name" validate:"min=2,max=100"`
	Description surface.Opt[string]          `json:"description" validate:"min=1,max=1000" null:"ok"`
	Metadata    surface.Opt[json.RawMessage] `json:"metadata" validate:"metadata" null:"ok"`
	OwnerEmail  surface.Opt[string]          `json:"ownerEmail" validate:"max=254,email" null:"ok"`
	NotifyEmail surface.Opt[string]          `json:"notifyEmail" validate:"max=254,email" null:"ok"`
	Website     surface.Opt[string]          `json:"website" validate:"max=2048,http_url" null:"ok"`
	Industry    surface.Opt[string]          `json:"industry" validate:"max=255" null:"ok"`
	Size        surface.Opt[string]          `json:"size" validate:"max=255" null:"ok"`
	Location    surface.Opt[string]          `json:"location" validate:"max=255" null:"ok"`
	Settings    surface.Opt[companySettings] `json:"settings" null:"ok"`
	// InvitesLeft limits the company's invitations to AI interviews; null: no limit. Only a platform key may set it.
	InvitesLeft surface.Opt[int] `json:"invitesLeft" validate:"gte=0,lte=1000000000" null:"ok"`
}

type companyOutput struct {
	ID          uuid.UUID         `json:"id"`
	Number      int64             `json:"number"`
	Identifier  string            `json:"identifier"`
	Name        string            `json:"name"`
	Description *string           `json:"description"`
	Metadata    json.RawMessage   `json:"metadata"`
	OwnerEmail  *string           `json:"ownerEmail"`
	NotifyEmail *string           `json:"notifyEmail"`
	Website     *string           `json:"website"`
	Industry    *string           `json:"industry"`
	Size        *string           `json:"size"`
	Location    *string           `json:"location"`
	Settings    json.RawMessage   `json:"settings"`
	InvitesLeft *int              `json:"invitesLeft"`
	CreatedAt   surface.Timestamp `json:"createdAt"`
	UpdatedAt   surface.Timestamp `json:"updatedAt"`
}

func showCompany(co *db.Company) companyOutput {
	return companyOutput{
		ID:          co.ID,
		Number:      co.Number,
		Identifier:  co.Identifier,
		Name:        co.Name,
		Description: co.Description,
		Metadata:    co.Metadata,
		OwnerEmail:  co.OwnerEmail,
		NotifyEmail: co.NotifyEmail,
		Website:     co.Website,
		Industry:    co.Industry,
		Size:        co.Size,
		Location:    co.Location,
		Settings:    co.Settings,
		InvitesLeft: co.InvitesLeft,
		CreatedAt:   surface.Timestamp(co.CreatedAt),
		UpdatedAt:   surface.Timestamp(co.UpdatedAt),
	}
}

func (s *server) listCompanies(c *gin.Context) error {
	p, err := surface.PageOf(c)
	if err != nil {
		return err
	}
	companies, total, err := db.ListCompanies(c.Request.Context(), s.DB, surface.Caller(c).Scope(), p.Window())
	if err != nil {
		return err
	}
	return okPage(c, p, companies, total, showCompany)
}

// createCompany requires a platform key (reference §2.15: 403 otherwise).
func (s *server) createCompany(c *gin.Context) error {
	if !surface.Caller(c).Platform() {
		return &surface.Error{
			Status:  http.StatusForbidden,
			Code:    surface.CodeScope,
			Message: "Only a platform key can create companies",
		}
	}
	in, err := surface.Bind[companyInput](c)
	if err != nil {
		return err
	}
	co := &db.Company{
		Name: in.Name, Description: in.Description, Metadata: in.Metadata, OwnerEmail: in.OwnerEmail, Website: in.Website,
		NotifyEmail: in.NotifyEmail,
		Industry:    in.Industry, Size: in.Size, Location: in.Location, Settings: surface.Encoded(in.Settings),
	}
	if err := db.CreateCompany(c.Request.Context(), s.DB, co); err != nil {
		return err
	}
	return ok(c, http.StatusCreated, showCompany(co))
}

// company loads the company named by the path; it must be the caller's.
func (s *server) company(c *gin.Context) (*db.Company, error) {
	id, err := surface.PathID(c, "id", "Company")
	if err != nil {
		return nil, err
	}
	co, err := db.GetCompany(c.Request.Context(), s.DB, id)
	if errors.Is(err, pg.ErrNotFound) {
		return nil, surface.NotFound("Company", id.String())
	}
	if err != nil {
		return nil, err
	}
	return co, surface.Allow(c, co.ID, "company")
}

func (s *server) getCompany(c *gin.Context) error {
	co, err := s.company(c)
	if err != nil {
		return err
	}
	return ok(c, http.StatusOK, showCompany(co))
}

func (s *server) updateCompany(c *gin.Context) error {
	co, err := s.company(c)
	if err != nil {
		return err
	}
	in, err := surface.Bind[companyPatch](c)
	if err != nil {
		return err
	}
	if in.InvitesLeft.Set && !surface.Caller(c).Platform() {
		return &surface.Error{
			Status: http.StatusForbidden, Code: surface.CodeScope, Message: "Only a platform key can set invitesLeft",
			Details: surface.Details{"field": "invitesLeft"},
		}
	}
	before := *co
	columns := in.apply(co)
	err = pg.InTx(c.Request.Context(), s.DB, func(ctx context.Context, tx bun.Tx) error {
		if err := db.UpdateCompany(ctx, tx, co, columns...); err != nil || !in.NotifyEmail.Set {
			return err
		}
		return auditNotifyEmail(ctx, tx, c, &before, co)
	})
	if err != nil {
		return err
	}
	return ok(c, http.StatusOK, showCompany(co))
}

// auditNotifyEmail writes an entry about where mail of the company goes.
func auditNotifyEmail(ctx context.Context, tx bun.Tx, c *gin.Context, before, co *db.Company) error {
	e := surface.Audited(c, &co.ID, db.AuditUpdated, db.AuditedCompany, co.ID)
	e.Before = map[string]any{"notify_email": surface.AuditedEmail(before.NotifyEmail)}
	e.After = map[string]any{"notify_email": surface.AuditedEmail(co.NotifyEmail)}
	return db.Audit(ctx, tx, e)
}

// apply writes the sent fields to the row and returns their columns.
func (in *companyPatch) apply(co *db.Company) []string {
	var u surface.Update
	surface.Set(&u, "name", &co.Name, in.Name)
	surface.SetNull(&u, "description", &co.Description, in.Description)
	surface.SetNull(&u, "owner_email", &co.OwnerEmail, in.OwnerEmail)
	surface.SetNull(&u, "notify_email", &co.NotifyEmail, in.NotifyEmail)
	surface.SetNull(&u, "website", &co.Website, in.Website)
	surface.SetNull(&u, "industry", &co.Industry, in.Industry)
	surface.SetNull(&u, "size", &co.Size, in.Size)
	surface.SetNull(&u, "location", &co.Location, in.Location)
	surface.SetNull(&u, "invites_left", &co.InvitesLeft, in.InvitesLeft)
	surface.SetJSON(&u, "metadata", &co.Metadata, in.Metadata)
	if in.Settings.Set {
		surface.SetJSON(
			&u,
			"settings",
			&co.Settings,
			surface.Opt[json.RawMessage]{Set: true, Value: surface.Encoded(in.Settings.Value)},
		)
	}
	return u.Columns
}
