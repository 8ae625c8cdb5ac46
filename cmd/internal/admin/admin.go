package admin

import (
	"context"
	"errors"
	"slices"
	"fmt"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/cmd/internal/config"
	"greenroom/cmd/internal/service"
	"greenroom/db"
	"greenroom/db/pg"
	"greenroom/db/seal"
)

// actor is who the audit log says it was.
const actor = "cli"

// Admin acts on one database. Its errors are single sentences for the person at the shell.
type Admin struct {
	DB *bun.DB
	// Secret keys the hashes of API keys; needed to create one.
	Secret []byte
	// Box seals signing secrets; needed to create a webhook.
	Box *seal.Box
	// CheckURL refuses an endpoint that attempts would refuse too.
	CheckURL func(string) error
	// PerMinute and PerHour are the limits of a key that is given none.
	PerMinute, PerHour int
}

// Open returns an Admin on the configured database. Beside a running `greenroom dev` nothing has to be configured:
// what is not set comes from its directory. secrets are the settings beyond database.url that the caller cannot do
// without.
func Open(ctx context.Context, cfg config.Config, secrets ...string) (*Admin, error) {
	cfg, err := fromDevDir(cfg)
	if err != nil {
		return nil, err
	}
	if err := cfg.Require(append([]string{"database.url"}, secrets...)...); err != nil {
		return nil, err
	}
	a := &Admin{
		Secret: cfg.Secret.Bytes(), CheckURL: service.EgressClient(cfg).CheckURL,
		PerMinute: cfg.RateLimit.PerMinute, PerHour: cfg.RateLimit.PerHour,
	}
	if cfg.Keyset != "" {
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
		return nil, errors.Join(err, a.DB.Close())
	}
	return a, nil
}

// Close gives the connections back.
func (a *Admin) Close() error { return a.DB.Close() }

// ID is the id of a row.
type ID = uuid.UUID

// ParseID reads the id of what a command is about.
func ParseID(what, text string) (ID, error) {
	id, ok := pg.ParseID(text)
	if !ok {
		return uuid.Nil, fmt.Errorf("%q is not the id of a %s: ids are UUIDs, as the list shows them", text, what)
	}
	return id, nil
}

// missing says in one sentence that a row is not there; other errors stay what they are.
func missing(err error, what string, id uuid.UUID) error {
	if errors.Is(err, pg.ErrNotFound) {
		return fmt.Errorf("there is no %s %s", what, id)
	}
	return err
}
