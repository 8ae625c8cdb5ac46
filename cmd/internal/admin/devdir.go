package admin

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"greenroom/cmd/internal/config"
	"greenroom/cmd/internal/devstack"
)

// WithDevDir adds the settings from the directory of a `greenroom dev`. It does so only if no database is configured,
// so that the secrets of one installation are never used with the database of another.
func WithDevDir(cfg config.Config) (config.Config, error) {
	if cfg.Database.URL != "" {
		return cfg, nil
	}
	if _, err := os.Stat(filepath.Join(cfg.Dev.Dir, "secrets")); errors.Is(err, os.ErrNotExist) {
		return cfg, nil // the caller reports the missing settings
	}
	secrets, err := devstack.LoadSecrets(cfg.Dev.Dir)
	if err != nil {
		return cfg, err
	}
	if cfg, err = cfg.WithSecrets(secrets.Secret, secrets.Keyset); err != nil {
		return cfg, fmt.Errorf("read the generated secrets: %w", err)
	}
	cfg.Database.URL, err = devstack.RunningDatabase(cfg.Dev.Dir)
	if errors.Is(err, devstack.ErrNotRunning) {
		return cfg, fmt.Errorf(
			"the database of `greenroom dev` in %s is not running: start it (make run), or set GREENROOM_DATABASE_URL",
			cfg.Dev.Dir,
		)
	}
	if err != nil {
		return cfg, err
	}
	if !cfg.Explicit("temporal.address") {
		address, err := devstack.TemporalAddress(cfg.Dev.Dir)
		if err != nil {
			return cfg, err
		}
		cfg.Temporal.Address = cmp.Or(address, cfg.Temporal.Address)
	}
	cfg.Egress.AllowHTTP, cfg.Egress.AllowLoopback = true, true // as `greenroom dev` itself
	if !cfg.Explicit("media.dir") {
		cfg.Media.Dir = filepath.Join(cfg.Dev.Dir, "media")
	}
	return cfg, nil
}
