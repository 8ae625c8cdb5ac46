package surface

import (
	"context"
	"errors"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/db/pg"
)

// Resource describes a kind of row that belongs to a company. A row that does not exist is a 404 with the id as it was
// sent; another company's row is a 403.
type Resource[T any] struct {
	Name, What string // "Job", as in resourceType; "job", as in "Access denied to this job"
	Get        func(context.Context, bun.IDB, uuid.UUID) (*T, error)
	Company    func(*T) uuid.UUID
}

// OfPath loads the row named by :id in the path and refuses one that the caller may not access.
func (r Resource[T]) OfPath(c *gin.Context, d bun.IDB) (*T, error) {
	id, err := PathID(c, "id", r.Name)
	if err != nil {
		return nil, err
	}
	row, err := r.Load(c.Request.Context(), d, id)
	if err != nil {
		return nil, err
	}
	return row, Allow(c, r.Company(row), r.What)
}

// Of loads a row named in a body and refuses one of another company.
func (r Resource[T]) Of(ctx context.Context, d bun.IDB, company, id uuid.UUID) (*T, error) {
	row, err := r.Load(ctx, d, id)
	if err != nil {
		return nil, err
	}
	if r.Company(row) != company {
		return nil, Denied(r.What)
	}
	return row, nil
}

// Load loads a row of any company.
func (r Resource[T]) Load(ctx context.Context, d bun.IDB, id uuid.UUID) (*T, error) {
	row, err := r.Get(ctx, d, id)
	if errors.Is(err, pg.ErrNotFound) {
		return nil, NotFound(r.Name, id.String())
	}
	return row, err
}

// RequireAll requires scopes in addition to the route's own.
func RequireAll(c *gin.Context, scopes ...string) error {
	for _, scope := range scopes {
		if err := RequireScope(c, scope); err != nil {
			return err
		}
	}
	return nil
}
