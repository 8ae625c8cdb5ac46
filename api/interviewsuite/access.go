package interviewsuite

import (
	"errors"
	"slices"

	"github.com/gin-gonic/gin"

	"greenroom/api/surface"
	"greenroom/db"
	"greenroom/db/pg"
)

// company returns the company that the path's :company names by number. For a company's key, any other number is
// forbidden, whether or not that company exists. A platform key may name every existing company.
func (s *server) company(c *gin.Context) (*db.Company, error) {
	number, err := surface.PathNumber(c, "company", "Company")
	if err != nil {
		return nil, err
	}
	own := surface.Caller(c).Key.CompanyID
	if own == nil {
		return db.CompanyByNumber(c.Request.Context(), s.DB, number)
	}
	company, err := db.GetCompany(c.Request.Context(), s.DB, *own)
	if errors.Is(err, pg.ErrNotFound) || err == nil && company.Number != number {
		return nil, surface.Denied("company")
	}
	return company, err
}

// project returns the job that the path's :project names, which must belong to the company.
func (s *server) project(c *gin.Context) (*db.Company, *db.Job, error) {
	company, err := s.company(c)
	if err != nil {
		return nil, nil, err
	}
	number, err := surface.PathNumber(c, "project", "Project")
	if err != nil {
		return nil, nil, err
	}
	project, err := db.JobByNumber(c.Request.Context(), s.DB, company.ID, number)
	return company, project, err
}

// candidate returns the candidate that the path's :candidate names, which must belong to the project.
func (s *server) candidate(c *gin.Context) (*db.Company, *db.Job, *db.Candidate, error) {
	company, project, err := s.project(c)
	if err != nil {
		return nil, nil, nil, err
	}
	number, err := surface.PathNumber(c, "candidate", "Candidate")
	if err != nil {
		return nil, nil, nil, err
	}
	candidate, err := db.CandidateByNumber(c.Request.Context(), s.DB, company.ID, number)
	if err == nil && !slices.Contains(candidate.JobIDs, project.ID) {
		err = pg.ErrNotFound
	}
	return company, project, candidate, err
}

// staff returns the calling staff user, or nil when the caller uses a key of the company or the platform.
func (s *server) staff(c *gin.Context) (*db.Staff, error) {
	id := surface.Caller(c).Key.StaffID
	if id == nil {
		return nil, nil //nolint:nilnil // a key without a user is an ordinary caller
	}
	return db.GetStaff(c.Request.Context(), s.DB, *id)
}
