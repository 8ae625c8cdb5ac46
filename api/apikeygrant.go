package api

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/api/surface"
	"greenroom/db"
)

// A key never gains or grants more than it has: not to itself, to no key that it makes, and to no key that it changes.
// The checks run in the transaction of the change, on locked rows, because the calling key may have been restricted
// since the request was authenticated.

// lockForCaller returns a key and the calling key as they are now, for a change of the first or of a key that depends
// on the second. It refuses a caller that has ended since it was authenticated.
func lockForCaller(ctx context.Context, tx bun.Tx, c *gin.Context, id uuid.UUID) (k, caller *db.APIKey, err error) {
	locked, err := db.LockAPIKeys(ctx, tx, id, surface.Caller(c).Key.ID)
	if err != nil {
		return nil, nil, err
	}
	if caller = locked[1]; caller.Usable(time.Now()) && caller.Suspension() == nil {
		return locked[0], caller, nil
	}
	return nil, nil, &surface.Error{
		Status: http.StatusUnauthorized, Code: surface.CodeInvalidKey,
		Message: "The provided API key is invalid or has been revoked",
	}
}

// knownScopes refuses scopes that do not exist, and removes duplicates.
func knownScopes(scopes []string) ([]string, error) {
	out := []string{}
	for _, scope := range scopes {
		if !db.KnownScope(scope) {
			e := surface.Invalid("scopes", "Unknown scope")
			e.Details = surface.Details{"field": "scopes", "provided": surface.Clip(scope), "allowed": db.Scopes()}
			return nil, e
		}
		if !slices.Contains(out, scope) {
			out = append(out, scope)
		}
	}
	return out, nil
}

// grant refuses a key with more scopes, addresses or time than the calling key has.
func grant(k, caller *db.APIKey) error {
	switch field, scope := k.Exceeds(caller); field {
	case "scopes":
		return &surface.Error{
			Status:  http.StatusForbidden,
			Code:    surface.CodeScope,
			Message: "A key can only give scopes that it has; this one lacks " + scope,
			Details: surface.Details{"requiredScope": scope},
		}
	case "allowedIPs":
		return surface.Invalid(field, "allowedIPs must be within those of the calling key")
	case "expiresAt":
		return surface.Invalid(field, "expiresAt must not be later than that of the calling key")
	}
	return nil
}

// grantRates refuses limits above those of the calling key. A platform key's own limits do not bound those of
// companies.
func grantRates(k, caller *db.APIKey) error {
	perMinute, perHour := caller.Rates()
	switch {
	case caller.CompanyID == nil && k.CompanyID != nil:
		return nil
	case k.RatePerMinute > perMinute:
		return surface.Invalid("ratePerMinute", "ratePerMinute must be at most that of the calling key")
	case k.RatePerHour > perHour:
		return surface.Invalid("ratePerHour", "ratePerHour must be at most that of the calling key")
	}
	return nil
}

// authorizeChange refuses a change that loosens a key beyond what the calling key could make itself. A change that only
// restricts a key is allowed whatever the calling key has.
func authorizeChange(caller, before, after *db.APIKey) error {
	scopes, _ := after.Exceeds(&db.APIKey{Scopes: before.Scopes})
	loosened := scopes != "" || !db.NetworksWithin(after.AllowedIPs, before.AllowedIPs) ||
		db.EndsLater(after.ExpiresAt, before.ExpiresAt) || before.SuspendedAt != nil && after.SuspendedAt == nil
	if loosened {
		if err := grant(after, caller); err != nil {
			return err
		}
	}
	raised := *after
	if raised.RatePerMinute <= before.RatePerMinute {
		raised.RatePerMinute = 0
	}
	if raised.RatePerHour <= before.RatePerHour {
		raised.RatePerHour = 0
	}
	return grantRates(&raised, caller)
}

// tokenOnly refuses a change of a staff user's token.
func tokenOnly() error {
	return surface.InvalidState(
		"This is the token of a staff user: it can only be suspended, resumed and revoked",
		surface.Details{"resource": "api key", "state": "token"},
	)
}
