package wiseway

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/api/surface"
	"greenroom/db"
	"greenroom/db/pg"
)

func (s *server) positionRoutes() []surface.Route {
	return []surface.Route{
		surface.List("/api/app/positions", "read:jobs", s.listPositions, "page", "limit", "status"),
		surface.Post("/api/app/positions", "write:jobs", s.createPosition),
		surface.Get("/api/app/positions/:id", "read:jobs", s.getPosition),
		surface.Put("/api/app/positions/:id", "write:jobs", s.updatePosition),
		surface.Delete("/api/app/positions/:id", "delete:jobs", s.deletePosition),
	}
}

// positionInput is the body of a create.
type positionInput struct {
	Title            string          `json:"title" validate:"required,max=200"`
	Description      *string         `json:"description" validate:"max=10000"`
	Status           string          `json:"status" validate:"anyword"`
	RequiredSkills   []string        `json:"requiredSkills" validate:"max=50,dive,min=1,max=128"`
	NiceToHaveSkills []string        `json:"niceToHaveSkills" validate:"max=50,dive,min=1,max=128"`
	ContractType     *string         `json:"contractType" validate:"anyword"`
	Location         *location       `json:"location"`
	Salary           *salary         `json:"salary"`
	Metadata         json.RawMessage `json:"metadata" validate:"metadata"`
}

func (in *positionInput) row(company uuid.UUID) *db.Job {
	return &db.Job{
		CompanyID: company, Title: in.Title, Description: in.Description, Status: strings.ToUpper(in.Status),
		RequiredSkills: in.RequiredSkills, NiceToHaveSkills: in.NiceToHaveSkills, ContractType: upper(in.ContractType),
		Location: in.Location.row(), Salary: in.Salary.row(), Metadata: in.Metadata,
	}
}

// positionChange is the body of an update; missing fields stay unchanged (reference Part 3, 2). Read-only fields are
// accepted and ignored, since clients of a PUT send back what they read.
type positionChange struct {
	Title            surface.Opt[string]          `json:"title" validate:"min=1,max=200"`
	Description      surface.Opt[string]          `json:"description" validate:"max=10000" null:"ok"`
	Status           surface.Opt[string]          `json:"status" validate:"anyword"`
	RequiredSkills   surface.Opt[[]string]        `json:"requiredSkills" validate:"max=50,dive,min=1,max=128"`
	NiceToHaveSkills surface.Opt[[]string]        `json:"niceToHaveSkills" validate:"max=50,dive,min=1,max=128"`
	ContractType     surface.Opt[string]          `json:"contractType" validate:"anyword" null:"ok"`
	Location         surface.Opt[location]        `json:"location" null:"ok"`
	Salary           surface.Opt[salary]          `json:"salary" null:"ok"`
	Metadata         surface.Opt[json.RawMessage] `json:"metadata" validate:"metadata" null:"ok"`
	readBack
}

// readBack are the read-only fields of an answer.
type readBack struct {
	ID        surface.Opt[json.RawMessage] `json:"id" null:"ok"`
	CreatedAt surface.Opt[json.RawMessage] `json:"createdAt" null:"ok"`
	UpdatedAt surface.Opt[json.RawMessage] `json:"updatedAt" null:"ok"`
}

// apply copies the sent fields to the row and returns the names of their columns.
func (in *positionChange) apply(p *db.Job) []string {
	var u surface.Update
	surface.Set(&u, "title", &p.Title, in.Title)
	surface.SetNull(&u, "description", &p.Description, in.Description)
	surface.Set(&u, "status", &p.Status, upperOpt(in.Status))
	surface.Set(&u, "required_skills", &p.RequiredSkills, in.RequiredSkills)
	surface.Set(&u, "nice_to_have_skills", &p.NiceToHaveSkills, in.NiceToHaveSkills)
	surface.SetNull(&u, "contract_type", &p.ContractType, upperOpt(in.ContractType))
	surface.SetJSON(&u, "metadata", &p.Metadata, in.Metadata)
	if in.Location.Set {
		p.Location, u.Columns = in.Location.Ptr().row(), append(u.Columns, "location")
	}
	if in.Salary.Set {
		p.Salary, u.Columns = in.Salary.Ptr().row(), append(u.Columns, "salary")
	}
	return u.Columns
}

type positionOutput struct {
	ID               uuid.UUID         `json:"id"`
	Title            string            `json:"title"`
	Description      *string           `json:"description"`
	Status           string            `json:"status"`
	RequiredSkills   []string          `json:"requiredSkills"`
	NiceToHaveSkills []string          `json:"niceToHaveSkills"`
	ContractType     *string           `json:"contractType"`
	Location         *location         `json:"location"`
	Salary           *salary           `json:"salary"`
	Metadata         json.RawMessage   `json:"metadata"`
	CreatedAt        surface.Timestamp `json:"createdAt"`
	UpdatedAt        surface.Timestamp `json:"updatedAt"`
}

func showPosition(p *db.Job) positionOutput {
	return positionOutput{
		ID:               p.ID,
		Title:            p.Title,
		Description:      p.Description,
		Status:           p.Status,
		RequiredSkills:   p.RequiredSkills,
		NiceToHaveSkills: p.NiceToHaveSkills,
		ContractType:     p.ContractType,
		Location:         (*location)(p.Location),
		Salary:           (*salary)(p.Salary),
		Metadata:         p.Metadata,
		CreatedAt:        surface.Timestamp(p.CreatedAt),
		UpdatedAt:        surface.Timestamp(p.UpdatedAt),
	}
}

// position loads the position of the path. A position of another company is not found.
func (s *server) position(c *gin.Context) (*db.Job, error) {
	id, err := surface.PathID(c, "id", "Position")
	if err != nil {
		return nil, err
	}
	scope, err := surface.ScopeOf(c)
	if err != nil {
		return nil, err
	}
	p, err := db.GetJob(c.Request.Context(), s.DB, id)
	if errors.Is(err, pg.ErrNotFound) || err == nil && scope.Company != nil && *scope.Company != p.CompanyID {
		return nil, surface.NotFound("Position", c.Param("id"))
	}
	return p, err
}

func (s *server) listPositions(c *gin.Context) error {
	p, err := surface.PageOf(c)
	if err != nil {
		return err
	}
	scope, err := surface.ScopeOf(c)
	if err != nil {
		return err
	}
	status, err := queryWord(c, "status")
	if err != nil {
		return err
	}
	rows, total, err := db.ListJobs(c.Request.Context(), s.DB, scope, db.JobFilter{Status: status}, p.Window())
	if err != nil {
		return err
	}
	return okPage(c, p, surface.Mapped(rows, showPosition), total)
}

func (s *server) createPosition(c *gin.Context) error {
	company, err := s.CallerCompany(c)
	if err != nil {
		return err
	}
	raw, in, err := bindRaw[positionInput](c)
	if err != nil {
		return err
	}
	if err := in.Salary.check(); err != nil {
		return err
	}
	return s.Once(c, raw, func(ctx context.Context, tx bun.Tx) (int, any, error) {
		p := in.row(company)
		if err := db.CreateJob(ctx, tx, p); err != nil {
			return 0, nil, err
		}
		return http.StatusCreated, showPosition(p), nil
	})
}

// bindRaw is surface.Bind that also returns the raw body, which identifies a repeated request.
func bindRaw[T any](c *gin.Context) (raw []byte, in T, err error) {
	if raw, err = surface.ReadBody(c); err != nil {
		return nil, in, err
	}
	in, err = surface.Decode[T](raw)
	return raw, in, err
}

func (s *server) getPosition(c *gin.Context) error {
	p, err := s.position(c)
	if err != nil {
		return err
	}
	c.JSON(http.StatusOK, showPosition(p))
	return nil
}

func (s *server) updatePosition(c *gin.Context) error {
	p, err := s.position(c)
	if err != nil {
		return err
	}
	in, err := surface.Bind[positionChange](c)
	if err != nil {
		return err
	}
	if err := in.Salary.Value.check(); err != nil {
		return err
	}
	if p, err = s.changePosition(c, p.ID, &in); err != nil {
		return gone(c, err, "Position", "id")
	}
	c.JSON(http.StatusOK, showPosition(p))
	return nil
}

// changePosition changes a position under a row lock, so that it is compared with its current state. An update without
// a difference, such as an echoed response, records no event.
func (s *server) changePosition(c *gin.Context, id uuid.UUID, in *positionChange) (p *db.Job, err error) {
	err = pg.InTx(c.Request.Context(), s.DB, func(ctx context.Context, tx bun.Tx) (err error) {
		if err := db.Lock(ctx, tx, "jobs", id); err != nil {
			return err
		}
		if p, err = db.GetJob(ctx, tx, id); err != nil {
			return err
		}
		before := surface.Encoded(showPosition(p))
		columns := in.apply(p)
		if surface.SameJSON(before, surface.Encoded(showPosition(p))) {
			return nil
		}
		return db.UpdateJob(ctx, tx, p, columns...)
	})
	return p, err
}

// gone is the error for a row that was deleted during the request.
func gone(c *gin.Context, err error, what, param string) error {
	if errors.Is(err, pg.ErrNotFound) {
		return surface.NotFound(what, c.Param(param))
	}
	return err
}

// deletePosition soft-deletes the position. Its candidates stay and its interviews continue. There is no event for it
// (reference 1.3).
func (s *server) deletePosition(c *gin.Context) error {
	p, err := s.position(c)
	if err != nil {
		return err
	}
	if err := db.DeleteJob(c.Request.Context(), s.DB, p.ID); err != nil {
		return gone(c, err, "Position", "id")
	}
	c.Status(http.StatusNoContent)
	return nil
}
