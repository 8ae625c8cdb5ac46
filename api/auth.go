package api

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"greenroom/db"
)

const callerKey = "caller"

// principal is who calls.
type principal struct{ key *db.APIKey }

// holds reports whether the key has the scope.
func (p principal) holds(scope string) bool {
	return slices.Contains(p.key.Scopes, db.AllScopes) || slices.Contains(p.key.Scopes, scope)
}

// scope is what the key may see: its company, or everything for a platform key.
func (p principal) scope() db.Scope { return db.Scope{Company: p.key.CompanyID} }

func (p principal) platform() bool { return p.key.CompanyID == nil }

func callerOf(c *gin.Context) (principal, bool) {
	v, found := c.Get(callerKey)
	if !found {
		return principal{}, false
	}
	p, is := v.(principal)
	return p, is
}

// caller is the authenticated key of a request; only routes with a key may ask.
func caller(c *gin.Context) principal {
	p, found := callerOf(c)
	if !found {
		panic("api: a public route asked for its caller")
	}
	return p
}

// authenticate finds the key and refuses one that is unknown, revoked, expired, suspended or used from elsewhere. Keys are
// read from the database on every request, so a revocation holds from the next request on.
func (s *server) authenticate(c *gin.Context) error {
	plain := presentedKey(c.Request.Header)
	if plain == "" {
		return unauthorized("An API key is required: send the header Authorization: Bearer sk_…")
	}
	key, err := db.FindAPIKey(c.Request.Context(), s.DB, db.HashKey(s.Secret, plain))
	if errors.Is(err, db.ErrNotFound) || err == nil && !key.Usable(time.Now()) {
		return unauthorized("The provided API key is invalid or has been revoked")
	}
	if err != nil {
		return err
	}
	c.Set(callerKey, principal{key})
	if key.SuspendedAt != nil {
		return &apiError{
			Status: http.StatusUnauthorized, Code: codeSuspended, Message: "This API key has been suspended",
			Details: details{"suspendedAt": maybe(key.SuspendedAt), "reason": key.SuspendedReason},
		}
	}
	if !allowedFrom(key.AllowedIPs, c.ClientIP()) {
		return &apiError{Status: http.StatusForbidden, Code: codeIPDenied, Message: "This API key may not be used from this address"}
	}
	return nil
}

func unauthorized(message string) *apiError {
	return &apiError{Status: http.StatusUnauthorized, Code: codeInvalidKey, Message: message}
}

// presentedKey takes the key from wherever it may be; the scheme's name ignores case (RFC 9110 §11.1).
func presentedKey(h http.Header) string {
	scheme, key, found := strings.Cut(h.Get("Authorization"), " ")
	if !found || !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(key)
}

// allowedFrom reports whether the address is one of the allowed addresses and ranges. None allowed means all are.
func allowedFrom(allowed []string, address string) bool {
	if len(allowed) == 0 {
		return true
	}
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(allowed, func(a string) bool {
		network, ok := db.ParseNetwork(a)
		return ok && network.Contains(ip.Unmap())
	})
}

// requireScope refuses a key that has none of the alternatives ("read:deliveries|read:webhooks"); "" asks for nothing.
func requireScope(c *gin.Context, scope string) error {
	alternatives := strings.Split(scope, "|")
	if scope == "" || slices.ContainsFunc(alternatives, caller(c).holds) {
		return nil
	}
	return &apiError{
		Status: http.StatusForbidden, Code: codeScope,
		Message: "This API key does not have the required scope: " + alternatives[0],
		Details: details{"requiredScope": alternatives[0]},
	}
}

// scopeOf is what a request may see: the key's company; for a platform key the company of ?companyId=, or everything. A
// company's key ignores ?companyId= (reference §2.7).
func scopeOf(c *gin.Context) (db.Scope, error) {
	p := caller(c)
	if !p.platform() {
		return p.scope(), nil
	}
	id, err := queryID(c, "companyId")
	return db.Scope{Company: id}, err
}

// allow refuses a row of another company than the request's; what is as in "this job". Load the row whoever owns it, then
// ask: a row that is there but foreign is 403, one that is not there 404.
func allow(c *gin.Context, company uuid.UUID, what string) error {
	s, err := scopeOf(c)
	if err != nil {
		return err
	}
	if s.Company != nil && *s.Company != company {
		return denied(what)
	}
	return nil
}

// allowAny is allow for a row that may belong to no company: only a platform key sees that.
func allowAny(c *gin.Context, company *uuid.UUID, what string) error {
	if company != nil {
		return allow(c, *company, what)
	}
	if !caller(c).platform() {
		return denied(what)
	}
	return nil
}

// companyFor is the company that something new will belong to: the key's own or, for a platform key, that of ?companyId=,
// which must exist.
func (s *server) companyFor(c *gin.Context) (uuid.UUID, error) {
	scope, err := scopeOf(c)
	if err != nil {
		return uuid.Nil, err
	}
	if scope.Company == nil {
		e := missing("companyId")
		e.Message = "companyId is required in the query: this key acts for many companies"
		return uuid.Nil, e
	}
	if !caller(c).platform() {
		return *scope.Company, nil
	}
	return *scope.Company, s.mustExist(c.Request.Context(), *scope.Company)
}

// namedCompany is companyFor where the body may name the company too: a company's key may leave it out and may not name
// another; a platform key names it in the body or as ?companyId=.
func (s *server) namedCompany(c *gin.Context, sent *uuid.UUID) (uuid.UUID, error) {
	own := caller(c).key.CompanyID
	switch {
	case own == nil && sent == nil:
		return s.companyFor(c)
	case own == nil:
		return *sent, s.mustExist(c.Request.Context(), *sent)
	case sent != nil && *sent != *own:
		return uuid.Nil, denied("company")
	}
	return *own, nil
}

// mustExist refuses the id of a company that is not there.
func (s *server) mustExist(ctx context.Context, company uuid.UUID) error {
	exists, err := db.CompanyExists(ctx, s.DB, company)
	if err == nil && !exists {
		return notFound("Company", company.String())
	}
	return err
}
