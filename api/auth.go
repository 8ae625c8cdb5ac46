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
type principal struct {
	key *db.APIKey
	// remembered: the key is as an earlier request has read it, see recognize.
	remembered bool
}

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

// authenticate finds the key and refuses one that is unknown, revoked, expired, suspended or used from elsewhere. It reads the
// key from the database, so that a revocation holds from the next request on.
func (s *server) authenticate(c *gin.Context) error {
	plain := presentedKey(c.Request.Header)
	if plain == "" {
		return unauthorized("An API key is required: send the header Authorization: Bearer sk_…")
	}
	hash := db.HashKey(s.Secret, plain)
	key, err := db.FindAPIKey(c.Request.Context(), s.DB, hash)
	if errors.Is(err, db.ErrNotFound) || err == nil && !key.Usable(time.Now()) {
		return unauthorized("The provided API key is invalid or has been revoked")
	}
	if err != nil {
		return err
	}
	c.Set(callerKey, principal{key: key})
	s.keys.keep(hash, key)
	return admits(key, c.ClientIP())
}

// admits refuses a key that is suspended or used from elsewhere.
func admits(key *db.APIKey, address string) error {
	if key.SuspendedAt != nil {
		return &apiError{
			Status: http.StatusUnauthorized, Code: codeSuspended, Message: "This API key has been suspended",
			Details: details{"suspendedAt": maybe(key.SuspendedAt), "reason": key.SuspendedReason},
		}
	}
	if !allowedFrom(key.AllowedIPs, address) {
		return &apiError{Status: http.StatusForbidden, Code: codeIPDenied, Message: "This API key may not be used from this address"}
	}
	return nil
}

// recognize is authenticate for a route that is called so often that reading the key each time would cost the most of it: a key
// that an earlier request has read is taken as it was then. That a change of a key holds from the next request on stays
// true, because no answer is given on a remembered key alone: what is accepted is stored in a transaction that finds the key
// unchanged (db.Submission), and what is refused is refused once the key was read again (confirm, limitRate).
func (s *server) recognize(c *gin.Context) error {
	if c.GetHeader(idempotencyHeader) != "" { // its answer comes from a transaction that looks at no key
		return s.authenticate(c)
	}
	key := s.keys.find(db.HashKey(s.Secret, presentedKey(c.Request.Header)))
	if key == nil || !key.Usable(time.Now()) || admits(key, c.ClientIP()) != nil {
		return s.authenticate(c)
	}
	c.Set(callerKey, principal{key: key, remembered: true})
	return nil
}

// confirm reads a remembered key again and judges the request by what it is now.
func (s *server) confirm(c *gin.Context, scope string) error {
	before := caller(c)
	if !before.remembered {
		return nil
	}
	if err := s.authenticate(c); err != nil {
		return err
	}
	if !sameCompany(before.key.CompanyID, caller(c).key.CompanyID) { // what was made of the request is for another company
		return db.ErrConflict
	}
	if over := s.countRequest(c, s.limiter.store.Peek); over != nil {
		return &rateLimited{over}
	}
	return requireScope(c, scope)
}

func sameCompany(a, b *uuid.UUID) bool {
	return a == nil && b == nil || a != nil && b != nil && *a == *b
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
func (s *server) companyFor(c *gin.Context) (uuid.UUID, error) { return s.namedCompany(c, nil) }

// namedCompany is companyFor where the body may name the company too: a company's key may leave it out and may not name
// another; a platform key names it in the body or as ?companyId=.
func (s *server) namedCompany(c *gin.Context, sent *uuid.UUID) (uuid.UUID, error) {
	id, err := nameCompany(c, sent)
	if err == nil && caller(c).platform() {
		err = s.mustExist(c.Request.Context(), id)
	}
	return id, err
}

// nameCompany is namedCompany that leaves it to its caller to see whether a company that a platform key names is there.
func nameCompany(c *gin.Context, sent *uuid.UUID) (uuid.UUID, error) {
	scope, err := scopeOf(c)
	switch own := caller(c).key.CompanyID; {
	case err != nil:
		return uuid.Nil, err
	case own == nil && sent != nil:
		return *sent, nil
	case scope.Company == nil:
		e := missing("companyId")
		e.Message = "companyId is required in the query: this key acts for many companies"
		return uuid.Nil, e
	case own != nil && sent != nil && *sent != *own:
		return uuid.Nil, denied("company")
	}
	return *scope.Company, nil
}

// mustExist refuses the id of a company that is not there.
func (s *server) mustExist(ctx context.Context, company uuid.UUID) error {
	exists, err := db.CompanyExists(ctx, s.DB, company)
	if err == nil && !exists {
		return notFound("Company", company.String())
	}
	return err
}
