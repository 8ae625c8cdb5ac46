package db

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/google/uuid"

	"greenroom/db/pg"
)

// MaxKeyDepth bounds the ancestors of a key, because each authentication reads them all.
const MaxKeyDepth = 8

// adopt sets the ancestors of a key from rows that contain them.
func (k *APIKey) adopt(rows []*APIKey) error {
	k.Above = make([]*APIKey, len(k.Ancestors))
	for i, id := range k.Ancestors {
		at := slices.IndexFunc(rows, func(other *APIKey) bool { return other.ID == id })
		if at < 0 {
			return fmt.Errorf("ancestor %s of api key %s: %w", id, k.ID, pg.ErrNotFound)
		}
		k.Above[i] = rows[at]
	}
	return nil
}

// Parent returns the key through which this key was made; nil for a key that an operator made, and for a token.
func (k *APIKey) Parent() *uuid.UUID {
	if len(k.Ancestors) == 0 {
		return nil
	}
	return &k.Ancestors[0]
}

// BoundBy makes k a key that was made through parent.
func (k *APIKey) BoundBy(parent *APIKey) {
	k.Ancestors = append([]uuid.UUID{parent.ID}, parent.Ancestors...)
}

// Chain returns the key and its ancestors, nearest first. A key has no power that one of them lacks.
func (k *APIKey) Chain() []*APIKey { return append([]*APIKey{k}, k.Above...) }

// Usable reports whether neither the key nor an ancestor is revoked or expired at that time. A suspended key is usable;
// see Suspension.
func (k *APIKey) Usable(now time.Time) bool {
	return !slices.ContainsFunc(k.Chain(), func(one *APIKey) bool {
		return one.RevokedAt != nil || one.ExpiresAt != nil && !now.Before(*one.ExpiresAt)
	})
}

// Suspension returns the suspended key that makes this one suspended: itself or its nearest suspended ancestor. It is
// nil if there is none.
func (k *APIKey) Suspension() *APIKey {
	for _, one := range k.Chain() {
		if one.SuspendedAt != nil {
			return one
		}
	}
	return nil
}

// KeyState is why requests with a key are refused, or that they are not.
type KeyState string

// The states of a key. Those of a parent are of a key through which it was made.
const (
	KeyActive          KeyState = "active"
	KeySuspended       KeyState = "suspended"
	KeyParentSuspended KeyState = "parent_suspended"
	KeyExpired         KeyState = "expired"
	KeyParentEnded     KeyState = "parent_ended"
	KeyRevoked         KeyState = "revoked"
)

// State returns the state at that time. A revoked key is never expired or suspended, an expired one never suspended.
func (k *APIKey) State(now time.Time) KeyState {
	switch {
	case k.RevokedAt != nil:
		return KeyRevoked
	case k.ExpiresAt != nil && !now.Before(*k.ExpiresAt):
		return KeyExpired
	case !k.Usable(now):
		return KeyParentEnded
	case k.SuspendedAt != nil:
		return KeySuspended
	case k.Suspension() != nil:
		return KeyParentSuspended
	}
	return KeyActive
}

// SuspendedByCompany reports whether a key of the key's company suspended it, perhaps besides the platform.
func (k *APIKey) SuspendedByCompany() bool {
	return k.SuspendedAt != nil && (!k.SuspendedByPlatform || k.SuspendedByCompanyToo)
}

// Suspend suspends the key for the platform or for its company and returns the columns to update. The other's
// suspension stays. The reason of the platform takes precedence.
func (k *APIKey) Suspend(byPlatform bool, reason *string, now time.Time) []string {
	company := k.SuspendedByCompany() || !byPlatform
	platform := k.SuspendedAt != nil && k.SuspendedByPlatform || byPlatform
	if byPlatform || !platform {
		k.SuspendedReason = reason
	}
	if k.SuspendedAt == nil {
		k.SuspendedAt = &now
	}
	k.SuspendedByPlatform, k.SuspendedByCompanyToo = platform, platform && company
	return suspensionColumns()
}

// Resume ends the suspension by the platform or, without one, by its company, and returns the columns to update. The
// key stays suspended if its company has suspended it too.
func (k *APIKey) Resume() []string {
	k.SuspendedReason = nil
	if !k.SuspendedByPlatform || !k.SuspendedByCompanyToo {
		k.SuspendedAt = nil
	}
	k.SuspendedByPlatform, k.SuspendedByCompanyToo = false, false
	return suspensionColumns()
}

func suspensionColumns() []string {
	return []string{"suspended_at", "suspended_reason", "suspended_by_platform", "suspended_by_company_too"}
}

// Holds reports whether the key and all its ancestors have the scope.
func (k *APIKey) Holds(scope string) bool {
	return !slices.ContainsFunc(k.Chain(), func(one *APIKey) bool {
		return !slices.Contains(one.Scopes, AllScopes) && !slices.Contains(one.Scopes, scope)
	})
}

// Admits reports whether the key and all its ancestors may be used from the address.
func (k *APIKey) Admits(address netip.Addr) bool {
	return !slices.ContainsFunc(k.Chain(), func(one *APIKey) bool { return !one.admits(address.Unmap()) })
}

func (k *APIKey) admits(address netip.Addr) bool {
	return len(k.AllowedIPs) == 0 || slices.ContainsFunc(k.AllowedIPs, func(text string) bool {
		network, ok := ParseNetwork(text)
		return ok && network.Contains(address)
	})
}

// End returns when the key expires, itself or with an ancestor; nil for never.
func (k *APIKey) End() *time.Time {
	end := k.ExpiresAt
	for _, one := range k.Above {
		if one.ExpiresAt != nil && (end == nil || one.ExpiresAt.Before(*end)) {
			end = one.ExpiresAt
		}
	}
	return end
}

// Rates returns the key's limits per minute and per hour, which are at most those of its ancestors in its company. A
// platform key does not bound those of a company's key: it acts for all companies.
func (k *APIKey) Rates() (perMinute, perHour int) {
	perMinute, perHour = k.RatePerMinute, k.RatePerHour
	for _, one := range k.Budgets()[1:] {
		perMinute, perHour = min(perMinute, one.RatePerMinute), min(perHour, one.RatePerHour)
	}
	return perMinute, perHour
}

// Budgets returns the keys whose rate limits a request with this key uses up: its own and its ancestors' in the same
// company. Keys are free, so a key would otherwise multiply its limits by the keys that it makes.
func (k *APIKey) Budgets() []*APIKey {
	out := []*APIKey{k}
	for _, one := range k.Above {
		if (one.CompanyID == nil) == (k.CompanyID == nil) {
			out = append(out, one)
		}
	}
	return out
}

// Restricted reports whether the key is bound to addresses or to a time.
func (k *APIKey) Restricted() bool {
	return k.End() != nil ||
		slices.ContainsFunc(k.Chain(), func(one *APIKey) bool { return len(one.AllowedIPs) > 0 })
}

// Exceeds returns the name of the first field in which k, without its ancestors, has more power than grantor has:
// "scopes", "allowedIPs" or "expiresAt"; "" if there is none. lacking is a scope that grantor does not have.
func (k *APIKey) Exceeds(grantor *APIKey) (field, lacking string) {
	for _, scope := range k.Scopes {
		if !grantor.Holds(scope) {
			return "scopes", scope
		}
	}
	for _, bound := range grantor.Chain() {
		if !NetworksWithin(k.AllowedIPs, bound.AllowedIPs) {
			return "allowedIPs", ""
		}
	}
	if EndsLater(k.ExpiresAt, grantor.End()) {
		return "expiresAt", ""
	}
	return "", ""
}

// EndsLater reports whether a key that expires at a outlives one that expires at b; nil is never.
func EndsLater(a, b *time.Time) bool { return b != nil && (a == nil || a.After(*b)) }

// NetworksWithin reports whether all addresses of the networks in the list are in those of bound. An empty list has all
// addresses. It compares network by network, so two halves of a network do not contain the whole.
func NetworksWithin(list, bound []string) bool {
	if len(bound) == 0 {
		return true
	}
	return len(list) > 0 && !slices.ContainsFunc(list, func(text string) bool {
		inner, ok := ParseNetwork(text)
		return !ok || !slices.ContainsFunc(bound, func(text string) bool {
			outer, ok := ParseNetwork(text)
			return ok && outer.Bits() <= inner.Bits() && outer.Contains(inner.Addr())
		})
	})
}
