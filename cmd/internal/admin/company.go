package admin

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/api"
	"greenroom/api/surface"
	"greenroom/db"
	"greenroom/db/pg"
)

// findCompany returns the company with this id or exact name. Names are not unique: when several companies match, the
// error lists their ids.
func findCompany(ctx context.Context, d bun.IDB, nameOrID string) (*db.Company, error) {
	if id, ok := pg.ParseID(nameOrID); ok {
		c, err := db.GetCompany(ctx, d, id)
		return c, describeMissing(err, "company", id)
	}
	found, err := db.CompaniesNamed(ctx, d, nameOrID)
	switch {
	case err != nil:
		return nil, err
	case len(found) != 1:
		return nil, notOne(nameOrID, surface.Mapped(found, func(c *db.Company) string { return c.ID.String() }))
	}
	return &found[0], nil
}

// notOne is the error when not exactly one company has a name; ids are those that have it.
func notOne(name string, ids []string) error {
	if len(ids) == 0 {
		return &unknownCompany{name}
	}
	return fmt.Errorf("there are %d companies named %q, give the id: %s", len(ids), name, strings.Join(ids, ", "))
}

// unknownCompany is the error when no company has this name.
type unknownCompany struct{ name string }

func (e *unknownCompany) Error() string {
	return fmt.Sprintf("there is no company named %q", e.name)
}

// findOrCreate returns the company with this name and creates it if it does not exist.
func findOrCreate(ctx context.Context, tx bun.Tx, name string) (*db.Company, error) {
	c, err := findCompany(ctx, tx, name)
	var unknown *unknownCompany
	if !errors.As(err, &unknown) {
		return c, err
	}
	c = &db.Company{Name: name}
	if err := api.CheckCompany(c); err != nil {
		return nil, fmt.Errorf("--company: %w", err)
	}
	return c, db.CreateCompany(ctx, tx, c)
}

// companyID returns the company to filter by, or nil for "".
func (a *Admin) companyID(ctx context.Context, nameOrID string) (*uuid.UUID, error) {
	if nameOrID == "" {
		return nil, nil //nolint:nilnil // no filter
	}
	if a.api != nil {
		id, isID := pg.ParseID(nameOrID)
		if isID {
			return &id, nil // the API checks it
		}
		id, err := a.remoteCompany(ctx, nameOrID)
		return &id, err
	}
	c, err := findCompany(ctx, a.DB, nameOrID)
	if err != nil {
		return nil, err
	}
	return &c.ID, nil
}
