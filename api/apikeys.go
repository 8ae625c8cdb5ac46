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

	"greenroom/api/surface"
	"greenroom/db"
	"greenroom/db/pg"
)

func (s *server) apiKeyRoutes() []surface.Route {
	return []surface.Route{
		surface.List("/api-keys", "read:api-keys", s.listKeys, "page", "limit"),
		surface.Post("/api-keys", "write:api-keys", s.createKey),
		surface.Get("/api-keys/:id", "read:api-keys", s.getKey),
		surface.Patch("/api-keys/:id", "write:api-keys", s.updateKey),
		surface.Delete("/api-keys/:id", "write:api-keys", s.revokeKey),
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
	Name          surface.Opt[string]    `json:"name" validate:"min=1,max=255"`
	Scopes        surface.Opt[[]string]  `json:"scopes" validate:"min=1,max=100"`
	ExpiresAt     surface.Opt[time.Time] `json:"expiresAt" null:"ok"`
	AllowedIPs    surface.Opt[[]string]  `json:"allowedIPs" validate:"max=100"`
	RatePerMinute surface.Opt[int]       `json:"ratePerMinute" validate:"gte=1,lte=10000000"`
	RatePerHour   surface.Opt[int]       `json:"ratePerHour" validate:"gte=1,lte=100000000"`
	// Suspended blocks the key until it is set to false; requests with the key are answered with the reason.
	Suspended       surface.Opt[bool]   `json:"suspended"`
	SuspendedReason surface.Opt[string] `json:"suspendedReason" validate:"max=1000" null:"ok"`
}

type keyOutput struct {
	ID              uuid.UUID          `json:"id"`
	CompanyID       *uuid.UUID         `json:"companyId"`
	Name            string             `json:"name"`
	Prefix          string             `json:"prefix"`
	Scopes          []string           `json:"scopes"`
	AllowedIPs      []string           `json:"allowedIPs"`
	RatePerMinute   int                `json:"ratePerMinute"`
	RatePerHour     int                `json:"ratePerHour"`
	ExpiresAt       *surface.Timestamp `json:"expiresAt"`
	SuspendedAt     *surface.Timestamp `json:"suspendedAt"`
	SuspendedReason *string            `json:"suspendedReason"`
	RevokedAt       *surface.Timestamp `json:"revokedAt"`
	CreatedAt       surface.Timestamp  `json:"createdAt"`
	UpdatedAt       surface.Timestamp  `json:"updatedAt"`
	// Key is the plain key; only the answer to a create has it.
	Key string `json:"key,omitempty"`
}

func showKey(k *db.APIKey) keyOutput {
	return keyOutput{
		ID: k.ID, CompanyID: k.CompanyID, Name: k.Name, Prefix: k.Prefix, Scopes: k.Scopes, AllowedIPs: k.AllowedIPs,
		RatePerMinute: k.RatePerMinute, RatePerHour: k.RatePerHour,
		ExpiresAt: surface.Maybe(k.ExpiresAt), SuspendedAt: surface.Maybe(k.SuspendedAt),
		SuspendedReason: k.SuspendedReason, RevokedAt: surface.Maybe(k.RevokedAt),
		CreatedAt: surface.Timestamp(k.CreatedAt), UpdatedAt: surface.Timestamp(k.UpdatedAt),
	}
}

// grantScopes refuses scopes that do not exist, and scopes that the calling key does not hold: a key cannot create a
// more powerful one.
func grantScopes(p surface.Principal, scopes []string) ([]string, error) {
	out := []string{}
	for _, scope := range scopes {
		if !db.KnownScope(scope) {
			e := surface.Invalid("scopes", "Unknown scope")
			e.Details = surface.Details{"field": "scopes", "provided": surface.Clip(scope), "allowed": db.Scopes()}
			return nil, e
		}
		if !p.Holds(scope) {
			return nil, &surface.Error{
				Status:  http.StatusForbidden,
				Code:    surface.CodeScope,
				Message: "A key can only give scopes that it has; this one lacks " + scope,
				Details: surface.Details{"requiredScope": scope},
			}
		}
		if !slices.Contains(out, scope) {
			out = append(out, scope)
		}
	}
	return out, nil
}

// grantRates refuses limits above those of the calling key, unless it is a platform key.
func grantRates(p surface.Principal, perMinute, perHour int) error {
	if p.Platform() {
		return nil
	}
	if perMinute > p.Key.RatePerMinute {
		return surface.Invalid("ratePerMinute", "ratePerMinute must be at most that of the calling key")
	}
	if perHour > p.Key.RatePerHour {
		return surface.Invalid("ratePerHour", "ratePerHour must be at most that of the calling key")
	}
	return nil
}

func checkNetworks(allowed []string) error {
	for _, a := range allowed {
		if _, valid := db.ParseNetwork(a); !valid {
			return surface.Invalid("allowedIPs", "allowedIPs must be addresses or CIDR ranges; this is not: "+surface.Clip(a))
		}
	}
	return nil
}

func checkExpiry(at *time.Time) error {
	if at != nil && !at.After(time.Now()) {
		return surface.Invalid("expiresAt", "expiresAt must be in the future")
	}
	return nil
}

// createKey creates a key of a company. Platform keys can only be created on the command line (reference §2.7: by
// staff).
func (s *server) createKey(c *gin.Context) error {
	in, err := surface.Bind[keyInput](c)
	if err != nil {
		return err
	}
	k, err := s.newKey(c, &in)
	if err != nil {
		return err
	}
	plain, hash, prefix := db.GenerateKey(s.Secret)
	k.Hash, k.Prefix = hash, prefix
	err = pg.InTx(c.Request.Context(), s.DB, func(ctx context.Context, tx bun.Tx) error {
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
	p := surface.Caller(c)
	scopes, err := grantScopes(p, in.Scopes)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(checkNetworks(in.AllowedIPs), checkExpiry(in.ExpiresAt)); err != nil {
		return nil, err
	}
	company, err := s.ExistingCompanyID(c, in.CompanyID)
	if err != nil {
		return nil, err
	}
	k := &db.APIKey{
		CompanyID: &company, Name: in.Name, Scopes: scopes, AllowedIPs: in.AllowedIPs, ExpiresAt: in.ExpiresAt,
		RatePerMinute: defaultRate(p, in.RatePerMinute, s.PerMinute, p.Key.RatePerMinute),
		RatePerHour:   defaultRate(p, in.RatePerHour, s.PerHour, p.Key.RatePerHour),
	}
	return k, grantRates(p, k.RatePerMinute, k.RatePerHour)
}

// defaultRate returns the requested limit or the default; a company's key defaults to at most its own limit.
func defaultRate(p surface.Principal, asked *int, usual, own int) int {
	switch {
	case asked != nil:
		return *asked
	case p.Platform():
		return usual
	}
	return min(usual, own)
}

// actor identifies the calling key in the audit log.
func actor(c *gin.Context) string { return "key:" + surface.Caller(c).Key.ID.String() }

func (s *server) listKeys(c *gin.Context) error {
	p, err := surface.PageOf(c)
	if err != nil {
		return err
	}
	scope, err := surface.ScopeOf(c)
	if err != nil {
		return err
	}
	keys, total, err := db.ListAPIKeys(c.Request.Context(), s.DB, scope, p.Window())
	if err != nil {
		return err
	}
	return okPage(c, p, keys, total, showKey)
}

// key loads the key named by the path; it must belong to the caller's company.
func (s *server) key(c *gin.Context) (*db.APIKey, error) {
	id, err := surface.PathID(c, "id", "ApiKey")
	if err != nil {
		return nil, err
	}
	k, err := db.GetAPIKey(c.Request.Context(), s.DB, id)
	if errors.Is(err, pg.ErrNotFound) {
		return nil, surface.NotFound("ApiKey", id.String())
	}
	if err != nil {
		return nil, err
	}
	return k, surface.AllowAny(c, k.CompanyID, "API key")
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
	in, err := surface.Bind[keyPatch](c)
	if err != nil {
		return err
	}
	if k.RevokedAt != nil {
		return revoked()
	}
	columns, action, err := in.apply(surface.Caller(c), k)
	if err != nil {
		return err
	}
	err = pg.InTx(c.Request.Context(), s.DB, func(ctx context.Context, tx bun.Tx) error {
		return db.UpdateAPIKey(ctx, tx, k, action, actor(c), columns...)
	})
	if errors.Is(err, pg.ErrNotFound) { // revoked since it was read
		return revoked()
	}
	if err != nil {
		return err
	}
	return ok(c, http.StatusOK, showKey(k))
}

func revoked() error {
	return surface.InvalidState("This API key is revoked", surface.Details{"resource": "api key", "state": "revoked"})
}

// apply validates the sent fields and writes them to the row. It returns their columns and the action for the audit
// log.
func (in *keyPatch) apply(p surface.Principal, k *db.APIKey) ([]string, db.AuditAction, error) {
	var err error
	if in.Scopes.Value, err = grantScopes(p, in.Scopes.Value); err != nil {
		return nil, "", err
	}
	if err := errors.Join(
		checkNetworks(in.AllowedIPs.Value),
		grantRates(p, in.RatePerMinute.Value, in.RatePerHour.Value),
	); err != nil {
		return nil, "", err
	}
	if in.ExpiresAt.Set {
		if err := checkExpiry(in.ExpiresAt.Ptr()); err != nil {
			return nil, "", err
		}
	}
	var u surface.Update
	surface.Set(&u, "name", &k.Name, in.Name)
	surface.Set(&u, "scopes", &k.Scopes, in.Scopes)
	surface.Set(&u, "allowed_ips", &k.AllowedIPs, in.AllowedIPs)
	surface.SetNull(&u, "expires_at", &k.ExpiresAt, in.ExpiresAt)
	surface.Set(&u, "rate_per_minute", &k.RatePerMinute, in.RatePerMinute)
	surface.Set(&u, "rate_per_hour", &k.RatePerHour, in.RatePerHour)
	action := in.suspend(k, &u)
	return u.Columns, action, nil
}

// suspend suspends or resumes the key and returns the action for the audit log.
func (in *keyPatch) suspend(k *db.APIKey, u *surface.Update) db.AuditAction {
	suspended := k.SuspendedAt != nil
	surface.SetNull(u, "suspended_reason", &k.SuspendedReason, in.SuspendedReason)
	if !in.Suspended.Set || in.Suspended.Value == suspended {
		return db.KeyUpdated
	}
	u.Columns = append(u.Columns, "suspended_at")
	if in.Suspended.Value {
		now := time.Now().UTC()
		k.SuspendedAt = &now
		return db.KeySuspended
	}
	k.SuspendedAt = nil
	if !in.SuspendedReason.Set {
		k.SuspendedReason, u.Columns = nil, append(u.Columns, "suspended_reason")
	}
	return db.KeyResumed
}

// revokeKey revokes a key permanently, from the next request on. It is idempotent.
func (s *server) revokeKey(c *gin.Context) error {
	k, err := s.key(c)
	if err != nil {
		return err
	}
	err = pg.InTx(c.Request.Context(), s.DB, func(ctx context.Context, tx bun.Tx) error {
		return db.RevokeAPIKey(ctx, tx, k.ID, actor(c))
	})
	if err != nil && !errors.Is(err, pg.ErrNotFound) {
		return err
	}
	c.Status(http.StatusNoContent)
	return nil
}
