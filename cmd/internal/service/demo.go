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

// demoRate is the demo key's limit per minute and per hour: out of the way of a load test on one machine.
const demoRate = 100_000_000

// DemoKey returns the API key of `greenroom dev`, and makes it and its company the first time (made is true). The key
// follows from the installation's secret, so nothing but that has to be kept.
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
			Scopes:        []string{"*"},
			RatePerMinute: demoRate,
			RatePerHour:   demoRate,
		}, "dev")
	})
	if err != nil {
		return "", false, fmt.Errorf("make demo key: %w", err)
	}
	return plain, true, nil
}
