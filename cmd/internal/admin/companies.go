package admin

import (
	"context"
	"io"
	"net/http"
	"time"

	"github.com/google/uuid"

	"greenroom/api/client"
	"greenroom/db"
	"greenroom/db/pg"
)

// Company is the output for a company.
type Company struct {
	ID        uuid.UUID `json:"id"`
	Number    int64     `json:"number"`
	Name      string    `json:"name"`
	CreatedAt time.Time `json:"createdAt"`
}

// ListCompanies returns the newest companies.
func (a *Admin) ListCompanies(ctx context.Context, limit int64) ([]Company, error) {
	if err := checkLimit(limit); err != nil {
		return nil, err
	}
	if a.api != nil {
		return listed[Company](ctx, limit, place{}, nil, func(at place) (*http.Response, error) {
			return a.api.ListCompanies(ctx, &client.ListCompaniesParams{Page: &at.number, Limit: &at.size})
		})
	}
	found, _, err := db.ListCompanies(ctx, a.DB, pg.Scope{}, pg.Page{Limit: limit})
	if err != nil {
		return nil, err
	}
	shown := make([]Company, len(found))
	for i, c := range found {
		shown[i] = Company{ID: c.ID, Number: c.Number, Name: c.Name, CreatedAt: c.CreatedAt}
	}
	return shown, nil
}

// Companies prints a list of companies.
func (p Printer) Companies(list []Company) error {
	return p.Value(list, func(out io.Writer) {
		row(out, "ID", "NUMBER", "NAME", "CREATED")
		for _, c := range list {
			row(out, c.ID, c.Number, c.Name, c.CreatedAt)
		}
	})
}
