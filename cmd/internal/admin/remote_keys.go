package admin

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"greenroom/api/client"
	"greenroom/api/surface"
	"greenroom/db"
)

// remoteCreateKey is CreateKey through the API. The calling key bounds the new one, which without a company is of the
// same.
func (a *Admin) remoteCreateKey(ctx context.Context, r KeyRequest) (Key, error) {
	if r.Platform || r.CreateCompany {
		return Key{}, errors.New("--platform and --create-company work only on the database, not through the API")
	}
	company, err := a.companyID(ctx, r.Company)
	if err != nil {
		return Key{}, err
	}
	if len(r.Scopes) == 0 {
		r.Scopes = []string{db.AllScopes}
	}
	return answered[Key](a.api.CreateAPIKey(ctx, nil, client.APIKeyInput{
		CompanyID: company, Name: cmp.Or(r.Name, DefaultKeyName), AllowedIPs: &r.AllowedIPs, ExpiresAt: given(r.Expires),
		Scopes:        surface.Mapped(r.Scopes, func(s *string) client.Scope { return client.Scope(*s) }),
		RatePerMinute: given(r.PerMinute), RatePerHour: given(r.PerHour),
	}))
}

// remoteRevokeKey is RevokeKey through the API. The calling key can revoke itself, and then read nothing any more.
func (a *Admin) remoteRevokeKey(ctx context.Context, id uuid.UUID) (Key, error) {
	before, err := answered[Key](a.api.GetAPIKey(ctx, id.String()))
	if err != nil {
		return before, err
	}
	if before.State == db.KeyRevoked {
		return before, revokedKey(before)
	}
	if err := done(a.api.RevokeAPIKey(ctx, id.String())); err != nil {
		return before, err
	}
	revoked, err := answered[Key](a.api.GetAPIKey(ctx, id.String()))
	if err != nil {
		before.State = db.KeyRevoked
		return before, nil //nolint:nilerr // it was the calling key
	}
	return revoked, nil
}

// revokedKey refuses to change a key.
func revokedKey(k Key) error {
	return fmt.Errorf("key %s was revoked at %s, which cannot be undone", k.ID, cell(k.RevokedAt))
}

// remoteResumeKey is ResumeKey through the API.
func (a *Admin) remoteResumeKey(ctx context.Context, id uuid.UUID) (Key, error) {
	k, err := answered[Key](a.api.GetAPIKey(ctx, id.String()))
	if err != nil {
		return k, err
	}
	if k.SuspendedAt == nil && k.State != db.KeyParentSuspended {
		return k, fmt.Errorf("key %s is not suspended", id)
	}
	if k.SuspendedAt == nil {
		return k, fmt.Errorf("key %s is suspended with a key through which it was made: resume that one", id)
	}
	suspended := false
	return answered[Key](a.api.UpdateAPIKey(ctx, id.String(), client.APIKeyPatch{Suspended: &suspended}))
}
