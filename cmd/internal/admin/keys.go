package admin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/api"
	"greenroom/api/client"
	"greenroom/db"
	"greenroom/db/pg"
)

// DefaultKeyName is the name of a key created without one.
const DefaultKeyName = "made by an operator"

// KeyRequest describes a new API key.
type KeyRequest struct {
	// Company is a name or an id. It must be empty with Platform, which creates a key that acts for every company.
	Company       string
	CreateCompany bool
	Platform      bool
	Name          string
	// Scopes have the form read:jobs. None means all scopes.
	Scopes     []string
	AllowedIPs []string
	// Expires is when the key expires; zero means never.
	Expires time.Time
	// PerMinute and PerHour are rate limits; 0 means the configured limit.
	PerMinute, PerHour int
}

// Key is the output for an API key. Only CreateKey and RotateKey set Plain.
type Key struct {
	ID              uuid.UUID   `json:"id"`
	Plain           string      `json:"key,omitempty"`
	CompanyID       *uuid.UUID  `json:"companyId"`
	ParentID        *uuid.UUID  `json:"parentId"`
	Name            string      `json:"name"`
	Prefix          string      `json:"prefix"`
	State           db.KeyState `json:"state"`
	Scopes          []string    `json:"scopes"`
	AllowedIPs      []string    `json:"allowedIPs"`
	RatePerMinute   int         `json:"ratePerMinute"`
	RatePerHour     int         `json:"ratePerHour"`
	ExpiresAt       *time.Time  `json:"expiresAt"`
	SuspendedAt     *time.Time  `json:"suspendedAt"`
	SuspendedReason *string     `json:"suspendedReason"`
	RevokedAt       *time.Time  `json:"revokedAt"`
	CreatedAt       time.Time   `json:"createdAt"`
}

func showKey(k *db.APIKey) Key {
	return Key{
		ID:              k.ID,
		CompanyID:       k.CompanyID,
		ParentID:        k.Parent(),
		Name:            k.Name,
		Prefix:          k.Prefix,
		State:           k.State(time.Now()),
		Scopes:          k.Scopes,
		AllowedIPs:      k.AllowedIPs,
		RatePerMinute:   k.RatePerMinute,
		RatePerHour:     k.RatePerHour,
		ExpiresAt:       k.ExpiresAt,
		SuspendedAt:     k.SuspendedAt,
		SuspendedReason: k.SuspendedReason,
		RevokedAt:       k.RevokedAt,
		CreatedAt:       k.CreatedAt,
	}
}

// keyState says a state in words.
func keyState(s db.KeyState) string {
	switch s {
	case db.KeyParentSuspended:
		return "suspended with its parent"
	case db.KeyParentEnded:
		return "ended with its parent"
	case db.KeyActive, db.KeySuspended, db.KeyExpired, db.KeyRevoked:
	}
	return string(s)
}

// CreateKey creates a key and, if requested, its company, in one transaction. Only the returned value has the plain
// key.
func (a *Admin) CreateKey(ctx context.Context, r KeyRequest) (Key, error) {
	if a.api != nil {
		return a.remoteCreateKey(ctx, r)
	}
	if err := r.check(time.Now()); err != nil {
		return Key{}, err
	}
	k := &db.APIKey{
		Name: cmp.Or(r.Name, DefaultKeyName), Scopes: r.Scopes, AllowedIPs: r.AllowedIPs,
		RatePerMinute: cmp.Or(r.PerMinute, a.PerMinute), RatePerHour: cmp.Or(r.PerHour, a.PerHour),
	}
	plain := k.SetNew(a.Secret)
	if len(k.Scopes) == 0 {
		k.Scopes = []string{db.AllScopes}
	}
	if !r.Expires.IsZero() {
		k.ExpiresAt = &r.Expires
	}
	if err := api.CheckKey(k); err != nil {
		return Key{}, err
	}
	err := pg.InTx(ctx, a.DB, func(ctx context.Context, tx bun.Tx) (err error) {
		if k.CompanyID, err = r.company(ctx, tx); err != nil {
			return err
		}
		return db.CreateAPIKey(ctx, tx, k, actor)
	})
	if err != nil {
		return Key{}, err
	}
	shown := showKey(k)
	shown.Plain = plain
	return shown, nil
}

func (r KeyRequest) check(now time.Time) error {
	switch {
	case r.Platform && r.Company != "":
		return errors.New("--platform creates a key for every company and cannot be used with --company")
	case !r.Platform && r.Company == "":
		return errors.New("--company NAME_OR_ID is required, or --platform for a key that acts for every company")
	case r.PerMinute < 0 || r.PerHour < 0:
		return errors.New("--per-minute and --per-hour must be positive")
	case !r.Expires.IsZero() && !r.Expires.After(now):
		return errors.New("--expires must be in the future")
	}
	for _, scope := range r.Scopes {
		if !db.KnownScope(scope) {
			return fmt.Errorf("--scope must be one of %s, not %q", join(db.Scopes()), scope)
		}
	}
	for _, text := range r.AllowedIPs {
		if _, valid := db.ParseNetwork(text); !valid {
			return fmt.Errorf("--allow-ip must be an address or a range such as 192.0.2.0/24, not %q", text)
		}
	}
	return nil
}

func (r KeyRequest) company(ctx context.Context, tx bun.Tx) (*uuid.UUID, error) {
	if r.Platform {
		return nil, nil //nolint:nilnil // a key without a company is a platform key
	}
	find := findCompany
	if r.CreateCompany {
		find = func(ctx context.Context, _ bun.IDB, name string) (*db.Company, error) {
			return findOrCreate(ctx, tx, name)
		}
	}
	c, err := find(ctx, tx, r.Company)
	var unknown *unknownCompany
	if errors.As(err, &unknown) {
		return nil, fmt.Errorf("%w; --create-company creates it", err)
	}
	if err != nil {
		return nil, err
	}
	return &c.ID, nil
}

// ListKeys returns the newest keys of one company, or of all companies for "".
func (a *Admin) ListKeys(ctx context.Context, company string, limit int64) ([]Key, error) {
	if err := checkLimit(limit); err != nil {
		return nil, err
	}
	id, err := a.companyID(ctx, company)
	if err != nil {
		return nil, err
	}
	if a.api != nil {
		return listed[Key](ctx, limit, place{}, nil, func(at place) (*http.Response, error) {
			return a.api.ListAPIKeys(ctx, &client.ListAPIKeysParams{Page: &at.number, Limit: &at.size, CompanyID: idText(id)})
		})
	}
	keys, _, err := db.ListAPIKeys(ctx, a.DB, pg.Scope{Company: id}, pg.Page{Limit: limit})
	if err != nil {
		return nil, err
	}
	shown := make([]Key, len(keys))
	for i := range keys {
		shown[i] = showKey(&keys[i])
	}
	return shown, nil
}

// RevokeKey revokes a key and those made through it, effective from the next request. It cannot be undone.
func (a *Admin) RevokeKey(ctx context.Context, id uuid.UUID) (Key, error) {
	if a.api != nil {
		return a.remoteRevokeKey(ctx, id)
	}
	return a.changeKey(ctx, id, func(ctx context.Context, tx bun.Tx, _ *db.APIKey) error {
		return db.RevokeAPIKey(ctx, tx, id, actor)
	})
}

// SuspendKey refuses requests with a key, and with those made through it, until an operator resumes it. The refusal
// contains the reason. Suspending again replaces the reason.
func (a *Admin) SuspendKey(ctx context.Context, id uuid.UUID, reason string) (Key, error) {
	if a.api != nil {
		suspended := true
		return answered[Key](a.api.UpdateAPIKey(ctx, id.String(),
			client.APIKeyPatch{Suspended: &suspended, SuspendedReason: &reason}))
	}
	return a.changeKey(ctx, id, func(ctx context.Context, tx bun.Tx, k *db.APIKey) error {
		columns := k.Suspend(true, &reason, time.Now().UTC())
		if err := api.CheckKey(k); err != nil {
			return err
		}
		return db.UpdateAPIKey(ctx, tx, k, db.AuditSuspended, actor, columns...)
	})
}

// ResumeKey ends a suspension by the platform; the key stays suspended if its company has suspended it too. Without one
// it ends that of the company.
func (a *Admin) ResumeKey(ctx context.Context, id uuid.UUID) (Key, error) {
	if a.api != nil {
		return a.remoteResumeKey(ctx, id)
	}
	return a.changeKey(ctx, id, func(ctx context.Context, tx bun.Tx, k *db.APIKey) error {
		if k.SuspendedAt == nil {
			if with := k.Suspension(); with != nil {
				return fmt.Errorf("key %s is suspended with key %s, through which it was made: resume that one", id, with.ID)
			}
			return fmt.Errorf("key %s is not suspended", id)
		}
		return db.UpdateAPIKey(ctx, tx, k, db.AuditResumed, actor, k.Resume()...)
	})
}

// RotateKey replaces the plain key, which the answer shows. What the key may do, and the keys made through it, stay.
func (a *Admin) RotateKey(ctx context.Context, id uuid.UUID) (Key, error) {
	if a.api != nil {
		return answered[Key](a.api.RotateAPIKey(ctx, id.String()))
	}
	plain := ""
	shown, err := a.changeKey(ctx, id, func(ctx context.Context, tx bun.Tx, k *db.APIKey) error {
		if k.StaffID != nil {
			return fmt.Errorf("key %s is the token of a staff user: create another with greenroom staff token", id)
		}
		plain = k.SetNew(a.Secret)
		return db.RotateAPIKey(ctx, tx, k, actor)
	})
	if err == nil {
		shown.Plain = plain
	}
	return shown, err
}

// changeKey applies change to a key and returns the changed key. It refuses a revoked key.
func (a *Admin) changeKey(
	ctx context.Context,
	id uuid.UUID,
	change func(context.Context, bun.Tx, *db.APIKey) error,
) (Key, error) {
	var shown Key
	err := pg.InTx(ctx, a.DB, func(ctx context.Context, tx bun.Tx) error {
		locked, err := db.LockAPIKeys(ctx, tx, id)
		if err != nil {
			return describeMissing(err, "key", id)
		}
		k := locked[0]
		if k.RevokedAt != nil {
			return revokedKey(showKey(k))
		}
		if err := change(ctx, tx, k); err != nil {
			return err
		}
		if k, err = db.GetAPIKey(ctx, tx, id); err == nil {
			shown = showKey(k)
		}
		return err
	})
	return shown, err
}

// NewKey prints a created key with its plain text.
func (p Printer) NewKey(k Key) error {
	return p.Value(k, func(w io.Writer) {
		row(w, "API key", k.Plain)
		row(w, "id", k.ID)
		row(w, "company", companyText(k.CompanyID))
		row(w, "scopes", k.Scopes)
		row(w, "limits", fmt.Sprintf("%d a minute, %d an hour", k.RatePerMinute, k.RatePerHour))
		row(w, "expires", cell(k.ExpiresAt))
		fmt.Fprintln(w, "\nKeep the key now: only a hash of it is stored, so it cannot be shown again.")
	})
}

// Keys prints a list of keys.
func (p Printer) Keys(keys []Key) error {
	return p.Value(keys, func(w io.Writer) {
		row(w, "ID", "PREFIX", "NAME", "COMPANY", "STATE", "SCOPES", "PER MINUTE", "PER HOUR", "EXPIRES")
		for _, k := range keys {
			row(w, k.ID, k.Prefix+"…", k.Name, companyText(k.CompanyID), keyState(k.State), k.Scopes, k.RatePerMinute,
				k.RatePerHour, k.ExpiresAt)
		}
	})
}

// Key prints the new state of a key.
func (p Printer) Key(k Key) error {
	return p.Value(k, func(w io.Writer) { row(w, "key", k.ID, "is "+keyState(k.State)) })
}

func companyText(id *uuid.UUID) string {
	if id == nil {
		return "every company"
	}
	return id.String()
}
