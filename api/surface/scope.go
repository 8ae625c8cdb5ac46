package surface

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"greenroom/db"
	"greenroom/db/pg"
)

// RequireScope refuses a key that holds none of the alternatives ("read:deliveries|read:webhooks"); "" requires none.
func RequireScope(c *gin.Context, scope string) error {
	alternatives := strings.Split(scope, "|")
	if scope == "" || slices.ContainsFunc(alternatives, Caller(c).Holds) {
		return nil
	}
	return &Error{
		Status: http.StatusForbidden, Code: CodeScope,
		Message: "This API key does not have the required scope: " + alternatives[0],
		Details: Details{"requiredScope": alternatives[0]},
	}
}

// ScopeOf is what a request may access: the key's company; for a platform key, the company of ?companyId= or
// everything. A company's key ignores ?companyId= (reference §2.7).
func ScopeOf(c *gin.Context) (pg.Scope, error) {
	p := Caller(c)
	if !p.Platform() {
		return p.Scope(), nil
	}
	id, err := QueryID(c, "companyId")
	return pg.Scope{Company: id}, err
}

// Allow refuses a row of another company than the request's; what is as in "this job". Load the row unscoped and then
// call Allow: another company's row is a 403, a missing row a 404.
func Allow(c *gin.Context, company uuid.UUID, what string) error {
	s, err := ScopeOf(c)
	if err != nil {
		return err
	}
	if s.Company != nil && *s.Company != company {
		return Denied(what)
	}
	return nil
}

// AllowAny is Allow for a row that may belong to no company: only a platform key may access such a row.
func AllowAny(c *gin.Context, company *uuid.UUID, what string) error {
	if company != nil {
		return Allow(c, *company, what)
	}
	if !Caller(c).Platform() {
		return Denied(what)
	}
	return nil
}

// CallerCompany returns the company of a new row: the key's own or, for a platform key, that of ?companyId=, which must
// exist.
func (s *Core) CallerCompany(c *gin.Context) (uuid.UUID, error) { return s.ExistingCompanyID(c, nil) }

// ExistingCompanyID is CallerCompany for a body that may name the company: a company's key may omit it and may not name
// another; a platform key names it in the body or as ?companyId=.
func (s *Core) ExistingCompanyID(c *gin.Context, sent *uuid.UUID) (uuid.UUID, error) {
	id, err := CompanyID(c, sent)
	if err == nil && Caller(c).Platform() {
		err = s.MustExist(c.Request.Context(), id)
	}
	return id, err
}

// CompanyID is ExistingCompanyID without the check that a company named by a platform key exists.
func CompanyID(c *gin.Context, sent *uuid.UUID) (uuid.UUID, error) {
	scope, err := ScopeOf(c)
	switch own := Caller(c).Key.CompanyID; {
	case err != nil:
		return uuid.Nil, err
	case own == nil && sent != nil:
		return *sent, nil
	case scope.Company == nil:
		e := Missing("companyId")
		e.Message = "companyId is required in the query: this key acts for many companies"
		return uuid.Nil, e
	case own != nil && sent != nil && *sent != *own:
		return uuid.Nil, Denied("company")
	}
	return *scope.Company, nil
}

// MustExist refuses the id of a company that does not exist.
func (s *Core) MustExist(ctx context.Context, company uuid.UUID) error {
	exists, err := db.CompanyExists(ctx, s.DB, company)
	if err == nil && !exists {
		return NotFound("Company", company.String())
	}
	return err
}
