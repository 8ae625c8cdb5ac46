package surface

import (
	"bytes"
	"encoding/base64"
	"errors"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"greenroom/db"
	"greenroom/db/pg"
)

const callerKey = "caller"

// Principal is the authenticated caller.
type Principal struct {
	// Key is the whole row. It is shared between requests: do not modify it.
	Key *db.APIKey
	// remembered: Key was read by an earlier request, see recognize.
	remembered bool
}

// Holds reports whether the key has the scope.
func (p Principal) Holds(scope string) bool { return p.Key.Holds(scope) }

// Scope is what the key may access: its company, or everything for a platform key.
func (p Principal) Scope() pg.Scope { return pg.Scope{Company: p.Key.CompanyID} }

// Platform reports whether this is a platform key, which belongs to no company and acts for all.
func (p Principal) Platform() bool { return p.Key.CompanyID == nil }

// Actor is the caller in the audit log: the staff user of a token, or the key.
func (p Principal) Actor() string {
	if p.Key.StaffID != nil {
		return "staff:" + p.Key.StaffID.String()
	}
	return "key:" + p.Key.ID.String()
}

func callerOf(c *gin.Context) (Principal, bool) {
	v, found := c.Get(callerKey)
	if !found {
		return Principal{}, false
	}
	p, is := v.(Principal)
	return p, is
}

// Caller returns the authenticated caller. It panics on a route without a key.
func Caller(c *gin.Context) Principal {
	p, found := callerOf(c)
	if !found {
		panic("surface: a public route asked for its caller")
	}
	return p
}

// Authenticate finds the key and refuses one that is unknown, revoked, expired, suspended or used from an address that
// is not allowed, itself or through the keys that it was made through. It reads the key from the database, so a
// revocation takes effect with the next request. Each use extends the life of a token that expires when unused, on
// every surface and whatever the outcome of the request.
func (s *Core) Authenticate(c *gin.Context) error {
	if in, is := insiderOf(c.Request.Context()); is {
		c.Set(callerKey, in.Principal)
		return nil
	}
	plain, err := s.presentedKey(c)
	if err != nil {
		return err
	}
	if plain == "" {
		return unauthorized("An API key is required: send the header " + s.surfaceOf(c.Request.URL.Path).Style.KeyIn)
	}
	hashes := Mapped(s.Secrets(), func(secret *[]byte) []byte { return db.HashKey(*secret, plain) })
	key, err := db.FindAPIKey(c.Request.Context(), s.DB, hashes...)
	if errors.Is(err, pg.ErrNotFound) || err == nil && !key.Usable(time.Now()) {
		return unauthorized("The provided API key is invalid or has been revoked")
	}
	if err != nil {
		return err
	}
	if err := s.rehash(c, key, hashes); err != nil {
		return err
	}
	p := Principal{Key: key}
	c.Set(callerKey, p)
	c.Request = c.Request.WithContext(db.WithActor(c.Request.Context(), p.Actor()))
	s.keys.keep(hashes[0], key)
	if err := admits(key, c.ClientIP()); err != nil {
		return err
	}
	return db.KeepToken(c.Request.Context(), s.DB, key, s.TokenMaxAge)
}

// rehash stores the hash under the current secret of a key that has it under the previous one. A process in the step
// before accepts that hash as the next secret's, and leaves it.
func (s *Core) rehash(c *gin.Context, k *db.APIKey, hashes [][]byte) error {
	if len(s.PreviousSecret) == 0 || bytes.Equal(k.SecretID, db.SecretID(s.Secret)) {
		return nil
	}
	err := db.RehashKey(c.Request.Context(), s.DB, k, s.Secret, hashes[0])
	if errors.Is(err, pg.ErrNotFound) { // another request was first, or the key was rotated
		return nil
	}
	return err
}

// admits refuses a key that is suspended or used from an address that is not allowed.
func admits(key *db.APIKey, address string) error {
	if by := key.Suspension(); by != nil {
		return &Error{
			Status: http.StatusUnauthorized, Code: CodeSuspended, Message: "This API key has been suspended",
			Details: Details{"suspendedAt": Maybe(by.SuspendedAt), "reason": by.SuspendedReason},
		}
	}
	// An address that cannot be parsed is the zero Addr, which no network contains.
	if ip, _ := netip.ParseAddr(address); !key.Admits(ip) {
		return &Error{
			Status:  http.StatusForbidden,
			Code:    CodeIPDenied,
			Message: "This API key may not be used from this address",
		}
	}
	return nil
}

// recognize replaces Authenticate on routes that are called so often that reading the key would dominate their cost: it
// accepts a key as an earlier request has read it. A change of a key still takes effect with the next request, because
// no answer relies on a remembered key alone. Accepted data is stored in a transaction that checks that the key is
// unchanged (delivery.Submission); a refusal or a stored answer is only answered after the key has been read again
// (Confirm, limitRate).
func (s *Core) recognize(c *gin.Context) error {
	if _, is := insiderOf(c.Request.Context()); is {
		return s.Authenticate(c)
	}
	plain, err := PresentedKey(c.Request.Header)
	if err != nil {
		return err
	}
	key := s.keys.find(db.HashKey(s.Secret, plain))
	if key == nil || !key.Usable(time.Now()) || admits(key, c.ClientIP()) != nil {
		return s.Authenticate(c)
	}
	c.Set(callerKey, Principal{Key: key, remembered: true})
	return nil
}

// Confirm reads a remembered key again and repeats the checks with its current state.
func (s *Core) Confirm(c *gin.Context, scope string) error {
	before := Caller(c)
	if !before.remembered {
		return nil
	}
	if err := s.Authenticate(c); err != nil {
		return err
	}
	if !sameCompany(before.Key.CompanyID, Caller(c).Key.CompanyID) { // the request was processed for another company
		return pg.ErrConflict
	}
	if over := s.countBudgets(c, false); over != nil {
		return tooMany(over)
	}
	return RequireScope(c, scope)
}

func sameCompany(a, b *uuid.UUID) bool {
	return a == nil && b == nil || a != nil && b != nil && *a == *b
}

func unauthorized(message string) *Error {
	return &Error{Status: http.StatusUnauthorized, Code: CodeInvalidKey, Message: message}
}

// presentedKey is PresentedKey, or else the key in the surface's cookie. A cookie is sent by a browser whatever page
// makes the request, so a change that a page of another origin makes is refused.
func (s *Core) presentedKey(c *gin.Context) (string, error) {
	plain, err := PresentedKey(c.Request.Header)
	name := s.surfaceOf(c.Request.URL.Path).Style.Cookie
	if plain != "" || err != nil || name == "" {
		return plain, err
	}
	cookie, err := c.Request.Cookie(name)
	if err != nil { // there is none
		return "", nil
	}
	return cookie.Value, SameOrigin(c)
}

var crossOrigin = http.NewCrossOriginProtection()

// SameOrigin refuses a change that a page of another origin makes in a browser.
func SameOrigin(c *gin.Context) error {
	if crossOrigin.Check(c.Request) == nil {
		return nil
	}
	return &Error{
		Status: http.StatusForbidden, Code: CodeDenied, Message: "This request came from another site",
	}
}

// PresentedKey returns the API key of a request, from any header that a product's clients use: Authorization with the
// scheme Bearer, Token or Basic, x-api-key or apiKey; "" if there is none. Names of schemes and headers are
// case-insensitive (RFC 9110 §5.1, §11.1). The same key may be sent more than once; two different keys are refused.
// Other schemes are ignored.
func PresentedKey(h http.Header) (string, error) {
	key := ""
	for name, plainKey := range keyHeaders {
		for _, value := range h[name] {
			found := plainKey(value)
			if found == "" || found == key {
				continue
			}
			if key != "" {
				return "", &Error{
					Status:  http.StatusBadRequest,
					Code:    CodeValidation,
					Message: "The request has two different API keys; send one",
				}
			}
			key = found
		}
	}
	return key, nil
}

// keyHeaders are the headers that may have a key, by canonical name, with the function that extracts it.
var keyHeaders = map[string]func(string) string{
	"Authorization": schemedKey, "X-Api-Key": strings.TrimSpace, "Apikey": strings.TrimSpace,
}

func schemedKey(credentials string) string {
	scheme, key, found := strings.Cut(credentials, " ")
	if found && strings.EqualFold(scheme, "Basic") {
		return basicKey(strings.TrimSpace(key))
	}
	if !found || !strings.EqualFold(scheme, "Bearer") && !strings.EqualFold(scheme, "Token") {
		return ""
	}
	return strings.TrimSpace(key)
}

// basicKey returns the password of Basic credentials (RFC 7617), as Wise's clients send <user_id>:<api_key> (reference
// wise §2.5). The user is not compared: the key says whose it is. A password that is no API key is ignored, because it
// is for a proxy in front of this server.
func basicKey(credentials string) string {
	plain, err := base64.StdEncoding.DecodeString(credentials)
	if err != nil {
		return ""
	}
	if _, password, _ := strings.Cut(string(plain), ":"); strings.HasPrefix(password, db.KeyPrefix) {
		return password
	}
	return ""
}
