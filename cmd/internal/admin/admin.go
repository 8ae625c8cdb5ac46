package admin

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/api/client"
	"greenroom/cmd/internal/config"
	"greenroom/cmd/internal/service"
	"greenroom/db"
	"greenroom/db/pg"
	"greenroom/db/seal"
)

// actor is the actor that the audit log records.
const actor = "cli"

// Admin acts on one database or, after Connect, through the API. Its errors are single sentences for the person at the
// shell.
type Admin struct {
	DB *bun.DB
	// Secret is the HMAC key for hashes of API keys; needed to create one.
	Secret []byte
	// NextSecret and PreviousSecret are set while Secret is rotated.
	NextSecret, PreviousSecret []byte
	// Box seals signing secrets; needed to create a webhook.
	Box *seal.Box
	// CheckURL refuses the URLs that delivery attempts refuse.
	CheckURL func(string) error
	// PerMinute and PerHour are the default rate limits of a key.
	PerMinute, PerHour int
	// TokenMaxAge is after how long a token of a staff user expires although it is used.
	TokenMaxAge time.Duration

	keyset string // that of Box, in JSON
	// api is set by Connect, instead of all other fields.
	api *client.ClientWithResponses
}

// Open returns an Admin on the configured database. Beside a running `greenroom dev` nothing has to be configured:
// what is not set comes from its directory. secrets are the settings beyond database.url that the caller cannot do
// without.
func Open(ctx context.Context, cfg config.Config, secrets ...string) (*Admin, error) {
	cfg, err := WithDevDir(cfg)
	if err != nil {
		return nil, err
	}
	if err := cfg.Require(append([]string{"database.url"}, secrets...)...); err != nil {
		if cfg.Database.URL == "" {
			err = errors.Join(err, fmt.Errorf("or start `greenroom dev`, and name its directory with --dev-dir (%s has none)",
				cfg.Dev.Dir))
		}
		return nil, err
	}
	a := &Admin{
		Secret: cfg.Secret.Bytes(), NextSecret: cfg.SecretNext.Bytes(), PreviousSecret: cfg.SecretPrevious.Bytes(),
		CheckURL:  service.CheckEgressURL(cfg),
		PerMinute: cfg.RateLimit.PerMinute, PerHour: cfg.RateLimit.PerHour,
		TokenMaxAge: cfg.Staff.TokenMaxAge,
	}
	if a.keyset = cfg.Keyset; cfg.Keyset != "" {
		if a.Box, err = seal.New(cfg.Keyset); err != nil {
			return nil, err
		}
	}
	if a.DB, err = service.OpenDB(ctx, cfg); err != nil {
		return nil, err
	}
	err = db.CheckMigrated(ctx, a.DB)
	if err == nil && slices.Contains(secrets, "keyset") { // the command seals
		err = db.CheckKeyset(ctx, a.DB, a.Box)
	}
	if err != nil {
		return nil, errors.Join(err, pg.Close(a.DB))
	}
	return a, nil
}

// Close closes the database connections.
func (a *Admin) Close() error {
	if a.DB == nil {
		return nil
	}
	return pg.Close(a.DB)
}

// ID is the id of a row.
type ID = uuid.UUID

// ParseID parses an argument that is the id of a resource, such as "webhook".
func ParseID(resource, text string) (ID, error) {
	id, ok := pg.ParseID(text)
	if !ok {
		return uuid.Nil, fmt.Errorf("%q is not the id of a %s: an id is a UUID, as the list shows it", text, resource)
	}
	return id, nil
}

// describeMissing replaces pg.ErrNotFound by an error that names the resource. It returns other errors unchanged.
func describeMissing(err error, resource string, id uuid.UUID) error {
	if errors.Is(err, pg.ErrNotFound) {
		return fmt.Errorf("there is no %s %s", resource, id)
	}
	return err
}

// checkLimit refuses a limit that the database would take for no limit.
func checkLimit(limit int64) error {
	if limit < 1 {
		return errors.New("--limit must be at least 1")
	}
	return nil
}
