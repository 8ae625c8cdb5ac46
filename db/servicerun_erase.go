package db

import (
	"context"
	"fmt"
	"slices"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/db/delivery"
	"greenroom/db/pg"
)

// EraseRuns removes the person from the requests of a company and what services answered them besides profiles, of up
// to limit after that id. A text that has the person is emptied; a request in progress goes on with what is left.
func EraseRuns(
	ctx context.Context, tx bun.Tx, company, after uuid.UUID, who delivery.Person, limit int,
) (page delivery.ErasedPage, err error) {
	rows, err := pg.Direct(tx).QueryContext(ctx, `SELECT id,
			lower(request::text || result::text || COALESCE(error_message, '')) LIKE ANY ($3::text[])
		FROM service_runs WHERE company_id = $1 AND id > $2 ORDER BY id LIMIT $4`, company, after, who.Patterns, limit)
	if err != nil {
		return page, fmt.Errorf("look for requests to services: %w", err)
	}
	defer func() { _ = rows.Close() }() // rows.Err reports its error
	var maybe []uuid.UUID
	for rows.Next() {
		var matches bool
		if err := rows.Scan(&page.Last, &matches); err != nil {
			return page, fmt.Errorf("look for requests to services: %w", err)
		}
		page.Looked++
		if matches {
			maybe = append(maybe, page.Last)
		}
	}
	if err := rows.Err(); err != nil {
		return page, fmt.Errorf("look for requests to services: %w", err)
	}
	for _, id := range maybe {
		r, err := lockRun(ctx, tx, id)
		if err != nil {
			return page, err
		}
		if !r.forget(who) {
			continue
		}
		page.Erased++
		if _, err := tx.NewUpdate().Model(r).WherePK().Column("request", "result", "error_message").Exec(ctx); err != nil {
			return page, fmt.Errorf("erase request to a service: %w", err)
		}
	}
	return page, nil
}

// forget empties each text that has the person, and reports whether there was one.
func (r *ServiceRun) forget(who delivery.Person) (found bool) {
	q := &r.Request
	for _, text := range []*string{&q.Title, &q.JobDescription, &q.Location, &q.Query, &q.JobURL} {
		if who.In(*text) {
			*text, found = "", true
		}
	}
	ids := len(q.ProfileIDs)
	q.ProfileIDs = slices.DeleteFunc(q.ProfileIDs, who.In)
	found = found || len(q.ProfileIDs) < ids
	if who.In(string(r.Result.Job)) {
		r.Result.Job, found = nil, true
	}
	if r.ErrorMessage != nil && who.In(*r.ErrorMessage) {
		empty := ""
		r.ErrorMessage, found = &empty, true
	}
	return found
}
