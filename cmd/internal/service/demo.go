package service

import (
	"context"
	"errors"
	"fmt"

	"github.com/uptrace/bun"

	"greenroom/cmd/internal/config"
	"greenroom/db"
	"greenroom/db/pg"
)

// demoRate is the demo key's limit per minute and per hour, higher than a load test on one machine reaches.
const demoRate = 100_000_000

// DemoKey returns the API key of `greenroom dev`. It creates the key and its company the first time (made is true). The
// key is derived from the installation's secret, so it is not stored.
func DemoKey(ctx context.Context, cfg config.Config, d *bun.DB) (plain string, made bool, err error) {
	plain, hash, prefix := db.DeriveKey(cfg.Secret.Bytes(), "demo")
	_, err = db.FindAPIKey(ctx, d, hash)
	if err == nil || !errors.Is(err, pg.ErrNotFound) {
		return plain, false, err
	}
	err = pg.InTx(ctx, d, func(ctx context.Context, tx bun.Tx) error {
		c := &db.Company{Name: "Demo Company"}
		if err := db.CreateCompany(ctx, tx, c); err != nil {
			return err
		}
		return db.CreateAPIKey(ctx, tx, &db.APIKey{
			CompanyID:     &c.ID,
			Name:          "demo",
			Hash:          hash,
			Prefix:        prefix,
			SecretID:      db.SecretID(cfg.Secret.Bytes()),
			Scopes:        []string{"*"},
			RatePerMinute: demoRate,
			RatePerHour:   demoRate,
		}, "dev")
	})
	if err != nil {
		return "", false, fmt.Errorf("create demo key: %w", err)
	}
	return plain, true, nil
}
