package api

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/db"
)

func (s *server) apiKeyRoutes() []route {
	return []route{
		{http.MethodGet, "/api-keys", "read:api-keys", s.listKeys},
		{http.MethodPost, "/api-keys", "write:api-keys", s.createKey},
		{http.MethodGet, "/api-keys/:id", "read:api-keys", s.getKey},
		{http.MethodPatch, "/api-keys/:id", "write:api-keys", s.updateKey},
		{http.MethodDelete, "/api-keys/:id", "write:api-keys", s.revokeKey},
	}
}

type keyInput struct {
	Name          string     `json:"name" validate:"required,max=255"`
	CompanyID     *uuid.UUID `json:"companyId"`
	Scopes        []string   `json:"scopes" validate:"required,max=100"`
	ExpiresAt     *time.Time `json:"expiresAt"`
	AllowedIPs    []string   `json:"allowedIPs" validate:"max=100"`
	RatePerMinute *int       `json:"ratePerMinute" validate:"gte=1,lte=10000000"`
	RatePerHour   *int       `json:"ratePerHour" validate:"gte=1,lte=100000000"`
}

type keyPatch struct {
	Name          opt[string]    `json:"name" validate:"min=1,max=255"`
	Scopes        opt[[]string]  `json:"scopes" validate:"min=1,max=100"`
	ExpiresAt     opt[time.Time] `json:"expiresAt" null:"ok"`
	AllowedIPs    opt[[]string]  `json:"allowedIPs" validate:"max=100"`
	RatePerMinute opt[int]       `json:"ratePerMinute" validate:"gte=1,lte=10000000"`
	RatePerHour   opt[int]       `json:"ratePerHour" validate:"gte=1,lte=100000000"`
	// Suspended true refuses the key until it is false again; the reason is shown to whoever uses the key meanwhile.
	Suspended       opt[bool]   `json:"suspended"`
	SuspendedReason opt[string] `json:"suspendedReason" validate:"max=1000" null:"ok"`
}

type keyOutput struct {
	ID              uuid.UUID  `json:"id"`
	CompanyID       *uuid.UUID `json:"companyId"`
	Name            string     `json:"name"`
	Prefix          string     `json:"prefix"`
	Scopes          []string   `json:"scopes"`
	AllowedIPs      []string   `json:"allowedIPs"`
	RatePerMinute   int        `json:"ratePerMinute"`
	RatePerHour     int        `json:"ratePerHour"`
	ExpiresAt       *timestamp `json:"expiresAt"`
	SuspendedAt     *timestamp `json:"suspendedAt"`
	SuspendedReason *string    `json:"suspendedReason"`
	RevokedAt       *timestamp `json:"revokedAt"`
	CreatedAt       timestamp  `json:"createdAt"`
	UpdatedAt       timestamp  `json:"updatedAt"`
	// Key is the plain key, in the answer to a create alone.
	Key string `json:"key,omitempty"`
}

func showKey(k *db.APIKey) keyOutput {
	return keyOutput{
		ID: k.ID, CompanyID: k.CompanyID, Name: k.Name, Prefix: k.Prefix, Scopes: k.Scopes, AllowedIPs: k.AllowedIPs,
		RatePerMinute: k.RatePerMinute, RatePerHour: k.RatePerHour, ExpiresAt: maybe(k.ExpiresAt), SuspendedAt: maybe(k.SuspendedAt),
		SuspendedReason: k.SuspendedReason, RevokedAt: maybe(k.RevokedAt), CreatedAt: timestamp(k.CreatedAt), UpdatedAt: timestamp(k.UpdatedAt),
	}
}

// grantScopes refuses scopes that do not exist, and those that the calling key does not hold: no key makes one that can do
// more than itself.
func (p principal) grantScopes(scopes []string) ([]string, error) {
	out := []string{}
	for _, scope := range scopes {
		if !db.KnownScope(scope) {
			e := invalid("scopes", "Unknown scope")
			e.Details = details{"field": "scopes", "provided": clip(scope), "allowed": db.Scopes()}
			return nil, e
		}
		if !p.holds(scope) {
			return nil, &apiError{
				Status: http.StatusForbidden, Code: codeScope, Message: "A key can only give scopes that it has; this one lacks " + scope,
				Details: details{"requiredScope": scope},
			}
		}
		if !slices.Contains(out, scope) {
			out = append(out, scope)
		}
	}
	return out, nil
}

// grantRates keeps a company's key from giving limits above its own.
func (p principal) grantRates(perMinute, perHour int) error {
	if p.platform() {
		return nil
	}
	if perMinute > p.key.RatePerMinute {
		return invalid("ratePerMinute", "ratePerMinute must be at most that of the calling key")
	}
	if perHour > p.key.RatePerHour {
		return invalid("ratePerHour", "ratePerHour must be at most that of the calling key")
	}
	return nil
}

func checkNetworks(allowed []string) error {
	for _, a := range allowed {
		if _, valid := db.ParseNetwork(a); !valid {
			return invalid("allowedIPs", "allowedIPs must be addresses or CIDR ranges; this is not: "+clip(a))
		}
	}
	return nil
}

func checkExpiry(at *time.Time) error {
	if at != nil && !at.After(time.Now()) {
		return invalid("expiresAt", "expiresAt must be in the future")
	}
	return nil
}

// createKey makes a key of a company. Keys of the platform are made on the command line alone (reference §2.7: by staff).
func (s *server) createKey(c *gin.Context) error {
	in, err := bind[keyInput](c)
	if err != nil {
		return err
	}
	k, err := s.newKey(c, &in)
	if err != nil {
		return err
	}
	plain, hash, prefix := db.GenerateKey(s.Secret)
	k.Hash, k.Prefix = hash, prefix
	err = db.InTx(c.Request.Context(), s.DB, func(ctx context.Context, tx bun.Tx) error {
		return db.CreateAPIKey(ctx, tx, k, actor(c))
	})
	if err != nil {
		return err
	}
	out := showKey(k)
	out.Key = plain
	return ok(c, http.StatusCreated, out)
}

func (s *server) newKey(c *gin.Context, in *keyInput) (*db.APIKey, error) {
	p := caller(c)
	scopes, err := p.grantScopes(in.Scopes)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(checkNetworks(in.AllowedIPs), checkExpiry(in.ExpiresAt)); err != nil {
		return nil, err
	}
	company, err := s.namedCompany(c, in.CompanyID)
	if err != nil {
		return nil, err
	}
	k := &db.APIKey{
		CompanyID: &company, Name: in.Name, Scopes: scopes, AllowedIPs: in.AllowedIPs, ExpiresAt: in.ExpiresAt,
		RatePerMinute: p.defaultRate(in.RatePerMinute, s.Limits.PerMinute, p.key.RatePerMinute),
		RatePerHour:   p.defaultRate(in.RatePerHour, s.Limits.PerHour, p.key.RatePerHour),
	}
	return k, p.grantRates(k.RatePerMinute, k.RatePerHour)
}

// defaultRate is the usual limit where none is asked for, but for a company's key not above its own.
func (p principal) defaultRate(asked *int, usual, own int) int {
	switch {
	case asked != nil:
		return *asked
	case p.platform():
		return usual
	}
	return min(usual, own)
}

// actor is the calling key as the audit log names it.
func actor(c *gin.Context) string { return "key:" + caller(c).key.ID.String() }

func (s *server) listKeys(c *gin.Context) error {
	p, err := pageOf(c)
	if err != nil {
		return err
	}
	scope, err := scopeOf(c)
	if err != nil {
		return err
	}
	keys, total, err := db.ListAPIKeys(c.Request.Context(), s.DB, scope, p.window())
	if err != nil {
		return err
	}
	return okPage(c, p, keys, total, showKey)
}

// key loads the key of the path, which must be of the caller's company.
func (s *server) key(c *gin.Context) (*db.APIKey, error) {
	id, err := pathID(c, "id", "ApiKey")
	if err != nil {
		return nil, err
	}
	k, err := db.GetAPIKey(c.Request.Context(), s.DB, id)
	if errors.Is(err, db.ErrNotFound) {
		return nil, notFound("ApiKey", id.String())
	}
	if err != nil {
		return nil, err
	}
	return k, allowAny(c, k.CompanyID, "API key")
}

func (s *server) getKey(c *gin.Context) error {
	k, err := s.key(c)
	if err != nil {
		return err
	}
	return ok(c, http.StatusOK, showKey(k))
}

func (s *server) updateKey(c *gin.Context) error {
	k, err := s.key(c)
	if err != nil {
		return err
	}
	in, err := bind[keyPatch](c)
	if err != nil {
		return err
	}
	if k.RevokedAt != nil {
		return revoked()
	}
	columns, action, err := in.apply(caller(c), k)
	if err != nil {
		return err
	}
	err = db.InTx(c.Request.Context(), s.DB, func(ctx context.Context, tx bun.Tx) error {
		return db.UpdateAPIKey(ctx, tx, k, action, actor(c), columns...)
	})
	if errors.Is(err, db.ErrNotFound) { // revoked meanwhile
		return revoked()
	}
	if err != nil {
		return err
	}
	return ok(c, http.StatusOK, showKey(k))
}

func revoked() error {
	return invalidState("This API key is revoked", details{"resource": "api key", "state": "revoked"})
}

// apply checks what was sent, writes it into the row and names the columns and what the audit log calls the change.
func (in *keyPatch) apply(p principal, k *db.APIKey) ([]string, db.AuditAction, error) {
	var err error
	if in.Scopes.Value, err = p.grantScopes(in.Scopes.Value); err != nil {
		return nil, "", err
	}
	if err := errors.Join(checkNetworks(in.AllowedIPs.Value), p.grantRates(in.RatePerMinute.Value, in.RatePerHour.Value)); err != nil {
		return nil, "", err
	}
	if in.ExpiresAt.Set {
		if err := checkExpiry(in.ExpiresAt.ptr()); err != nil {
			return nil, "", err
		}
	}
	var u update
	put(&u, "name", &k.Name, in.Name)
	put(&u, "scopes", &k.Scopes, in.Scopes)
	put(&u, "allowed_ips", &k.AllowedIPs, in.AllowedIPs)
	putNull(&u, "expires_at", &k.ExpiresAt, in.ExpiresAt)
	put(&u, "rate_per_minute", &k.RatePerMinute, in.RatePerMinute)
	put(&u, "rate_per_hour", &k.RatePerHour, in.RatePerHour)
	action := in.suspend(k, &u)
	return u.columns, action, nil
}

// suspend writes the suspension and says what the change is called.
func (in *keyPatch) suspend(k *db.APIKey, u *update) db.AuditAction {
	suspended := k.SuspendedAt != nil
	putNull(u, "suspended_reason", &k.SuspendedReason, in.SuspendedReason)
	if !in.Suspended.Set || in.Suspended.Value == suspended {
		return db.KeyUpdated
	}
	u.columns = append(u.columns, "suspended_at")
	if in.Suspended.Value {
		now := time.Now().UTC()
		k.SuspendedAt = &now
		return db.KeySuspended
	}
	k.SuspendedAt = nil
	if !in.SuspendedReason.Set {
		k.SuspendedReason, u.columns = nil, append(u.columns, "suspended_reason")
	}
	return db.KeyResumed
}

// revokeKey ends a key for good, from the next request on. Revoking a revoked key is fine: it is what was asked for.
func (s *server) revokeKey(c *gin.Context) error {
	k, err := s.key(c)
	if err != nil {
		return err
	}
	err = db.InTx(c.Request.Context(), s.DB, func(ctx context.Context, tx bun.Tx) error {
		return db.RevokeAPIKey(ctx, tx, k.ID, actor(c))
	})
	if err != nil && !errors.Is(err, db.ErrNotFound) {
		return err
	}
	c.Status(http.StatusNoContent)
	return nil
}
