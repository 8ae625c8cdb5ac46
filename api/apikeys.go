package api

import (
	"context"
	"errors"
	"fmt"
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
		surface.Post("/api-keys", "write:api-keys", s.createKey).MaxBody(surface.SmallBody),
		surface.Get("/api-keys/:id", "read:api-keys", s.getKey),
		surface.Patch("/api-keys/:id", "write:api-keys", s.updateKey).MaxBody(surface.SmallBody),
		surface.Post("/api-keys/:id/rotate", "write:api-keys", s.rotateKey).MaxBody(surface.SmallBody),
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
	ID        uuid.UUID  `json:"id"`
	CompanyID *uuid.UUID `json:"companyId"`
	// ParentID is the key through which this one was made: it is bound by it and ends with it.
	ParentID        *uuid.UUID         `json:"parentId"`
	Name            string             `json:"name"`
	Prefix          string             `json:"prefix"`
	State           db.KeyState        `json:"state"`
	Scopes          []string           `json:"scopes"`
	AllowedIPs      []string           `json:"allowedIPs"`
	RatePerMinute   int                `json:"ratePerMinute"`
	RatePerHour     int                `json:"ratePerHour"`
	ExpiresAt       *surface.Timestamp `json:"expiresAt"`
	SuspendedAt     *surface.Timestamp `json:"suspendedAt"`
	SuspendedReason *string            `json:"suspendedReason"`
	// SuspendedBy is "platform" or "company"; nil for a key that is not suspended.
	SuspendedBy *string            `json:"suspendedBy"`
	RevokedAt   *surface.Timestamp `json:"revokedAt"`
	CreatedAt   surface.Timestamp  `json:"createdAt"`
	UpdatedAt   surface.Timestamp  `json:"updatedAt"`
	// Key is the plain key; only the answer to a create has it.
	Key string `json:"key,omitempty"`
}

func showKey(k *db.APIKey) keyOutput {
	return keyOutput{
		ID: k.ID, CompanyID: k.CompanyID, ParentID: k.Parent(), Name: k.Name, Prefix: k.Prefix,
		State: k.State(time.Now()), Scopes: k.Scopes,
		AllowedIPs: k.AllowedIPs, RatePerMinute: k.RatePerMinute, RatePerHour: k.RatePerHour,
		ExpiresAt: surface.Maybe(k.ExpiresAt), SuspendedAt: surface.Maybe(k.SuspendedAt),
		SuspendedReason: k.SuspendedReason, SuspendedBy: suspendedBy(k), RevokedAt: surface.Maybe(k.RevokedAt),
		CreatedAt: surface.Timestamp(k.CreatedAt), UpdatedAt: surface.Timestamp(k.UpdatedAt),
	}
}

// suspendedBy returns who can resume a suspended key.
func suspendedBy(k *db.APIKey) *string {
	by := "company"
	switch {
	case k.SuspendedAt == nil:
		return nil
	case k.SuspendedByPlatform:
		by = "platform"
	}
	return &by
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
// staff). The key is bound by the calling key, also later: see db.APIKey.Chain.
func (s *server) createKey(c *gin.Context) error {
	in, err := surface.Bind[keyInput](c)
	if err != nil {
		return err
	}
	k, err := s.newKey(c, &in)
	if err != nil {
		return err
	}
	plain := k.SetNew(s.Secret)
	err = pg.InTx(c.Request.Context(), s.DB, func(ctx context.Context, tx bun.Tx) error {
		_, caller, err := lockForCaller(ctx, tx, c, surface.Caller(c).Key.ID)
		if err != nil {
			return err
		}
		if err := s.bind(&in, k, caller); err != nil {
			return err
		}
		if err := db.CheckAPIKeyQuota(ctx, tx, *k.CompanyID, s.Quota.APIKeys); err != nil {
			return err
		}
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
	scopes, err := knownScopes(in.Scopes)
	if err := surface.Faults(err, checkNetworks(in.AllowedIPs), checkExpiry(in.ExpiresAt)); err != nil {
		return nil, err
	}
	company, err := s.ExistingCompanyID(c, in.CompanyID)
	if err != nil {
		return nil, err
	}
	return &db.APIKey{
		CompanyID: &company, Name: in.Name, Scopes: scopes, AllowedIPs: in.AllowedIPs, ExpiresAt: in.ExpiresAt,
	}, nil
}

// bind makes a new key the child of the calling key: what the body leaves out is as the caller has it, and nothing may
// exceed it.
func (s *server) bind(in *keyInput, k, caller *db.APIKey) error {
	if k.BoundBy(caller); len(k.Ancestors) > db.MaxKeyDepth {
		return surface.InvalidState(
			fmt.Sprintf("A key can be made through at most %d others, one through the other", db.MaxKeyDepth), nil)
	}
	for _, bound := range caller.Chain() {
		if len(k.AllowedIPs) == 0 {
			k.AllowedIPs = slices.Clone(bound.AllowedIPs)
		}
	}
	if k.ExpiresAt == nil {
		k.ExpiresAt = caller.End()
	}
	perMinute, perHour := caller.Rates()
	if caller.CompanyID == nil { // a platform key acts for all companies: its own limits do not bound theirs
		k.RatePerMinute, k.RatePerHour = given(in.RatePerMinute, s.PerMinute), given(in.RatePerHour, s.PerHour)
		return grant(k, caller)
	}
	k.RatePerMinute = given(in.RatePerMinute, min(s.PerMinute, perMinute))
	k.RatePerHour = given(in.RatePerHour, min(s.PerHour, perHour))
	return errors.Join(grant(k, caller), grantRates(k, caller))
}

func given(asked *int, usual int) int {
	if asked != nil {
		return *asked
	}
	return usual
}

// actor identifies the calling key in the audit log.
func actor(c *gin.Context) string { return surface.Caller(c).Actor() }

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
	err = pg.InTx(c.Request.Context(), s.DB, func(ctx context.Context, tx bun.Tx) error {
		locked, caller, err := lockForCaller(ctx, tx, c, k.ID)
		if err != nil {
			return err
		}
		if k = locked; k.RevokedAt != nil {
			return revoked()
		}
		columns, action, err := in.apply(caller, k)
		if err != nil {
			return err
		}
		return db.UpdateAPIKey(ctx, tx, k, action, actor(c), columns...)
	})
	if err != nil {
		return err
	}
	return ok(c, http.StatusOK, showKey(k))
}

// rotateKey replaces the plain key, which gives the caller the power of the key: it must have all of it.
func (s *server) rotateKey(c *gin.Context) error {
	k, err := s.key(c)
	if err != nil {
		return err
	}
	plain := ""
	err = pg.InTx(c.Request.Context(), s.DB, func(ctx context.Context, tx bun.Tx) error {
		locked, caller, err := lockForCaller(ctx, tx, c, k.ID)
		if err != nil {
			return err
		}
		k = locked
		switch {
		case k.RevokedAt != nil:
			return revoked()
		case k.StaffID != nil:
			return tokenOnly()
		}
		if err := grant(k, caller); err != nil {
			return err
		}
		plain = k.SetNew(s.Secret)
		return db.RotateAPIKey(ctx, tx, k, actor(c))
	})
	if err != nil {
		return err
	}
	out := showKey(k)
	out.Key = plain
	return ok(c, http.StatusOK, out)
}

func revoked() error {
	return surface.InvalidState("This API key is revoked", surface.Details{"resource": "api key", "state": "revoked"})
}

// apply validates the sent fields and writes them to the row. It returns their columns and the action for the audit
// log.
func (in *keyPatch) apply(caller, k *db.APIKey) ([]string, db.AuditAction, error) {
	if k.StaffID != nil && (in.Scopes.Set || in.ExpiresAt.Set || in.AllowedIPs.Set || in.RatePerMinute.Set ||
		in.RatePerHour.Set || in.Name.Set) {
		return nil, "", tokenOnly()
	}
	scopes, err := knownScopes(in.Scopes.Value)
	if err != nil {
		return nil, "", err
	}
	in.Scopes.Value = scopes
	if err := checkNetworks(in.AllowedIPs.Value); err != nil {
		return nil, "", err
	}
	if in.ExpiresAt.Set {
		if err := checkExpiry(in.ExpiresAt.Ptr()); err != nil {
			return nil, "", err
		}
	}
	before := *k
	var u surface.Update
	surface.Set(&u, "name", &k.Name, in.Name)
	surface.Set(&u, "scopes", &k.Scopes, in.Scopes)
	surface.Set(&u, "allowed_ips", &k.AllowedIPs, in.AllowedIPs)
	surface.SetNull(&u, "expires_at", &k.ExpiresAt, in.ExpiresAt)
	surface.Set(&u, "rate_per_minute", &k.RatePerMinute, in.RatePerMinute)
	surface.Set(&u, "rate_per_hour", &k.RatePerHour, in.RatePerHour)
	action, err := in.suspend(caller, k, &u)
	if err != nil {
		return nil, "", err
	}
	return u.Columns, action, authorizeChange(caller, &before, k)
}

// suspend suspends or resumes the key and returns the action for the audit log.
func (in *keyPatch) suspend(caller, k *db.APIKey, u *surface.Update) (db.AuditAction, error) {
	platform := caller.CompanyID == nil
	if !in.Suspended.Set && !in.SuspendedReason.Set {
		return db.AuditUpdated, nil
	}
	if k.SuspendedAt != nil && k.SuspendedByPlatform && !platform && (!in.Suspended.Set || !in.Suspended.Value) {
		return "", surface.InvalidState("The platform suspended this API key, and only the platform can resume it",
			surface.Details{"resource": "api key", "state": "suspended", "suspendedBy": "platform"})
	}
	if !in.Suspended.Set {
		surface.SetNull(u, "suspended_reason", &k.SuspendedReason, in.SuspendedReason)
		return db.AuditUpdated, nil
	}
	if in.Suspended.Value {
		reason := k.SuspendedReason
		if in.SuspendedReason.Set {
			reason = in.SuspendedReason.Ptr()
		}
		for _, column := range k.Suspend(platform, reason, time.Now().UTC()) {
			u.Add(column)
		}
		return db.AuditSuspended, nil
	}
	if k.SuspendedAt == nil {
		surface.SetNull(u, "suspended_reason", &k.SuspendedReason, in.SuspendedReason)
		return db.AuditUpdated, nil
	}
	for _, column := range k.Resume() {
		u.Add(column)
	}
	surface.SetNull(u, "suspended_reason", &k.SuspendedReason, in.SuspendedReason)
	return db.AuditResumed, nil
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
