package admin

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"greenroom/cmd/internal/config"
	"greenroom/cmd/internal/devstack"
)

// fromDevDir completes settings from the directory of a `greenroom dev`: only where no database was configured, so that the
// secrets of one installation never meet the database of another.
func fromDevDir(cfg config.Config) (config.Config, error) {
	if cfg.Database.URL != "" {
		return cfg, nil
	}
	if _, err := os.Stat(filepath.Join(cfg.Dev.Dir, "secrets")); errors.Is(err, os.ErrNotExist) {
		return cfg, nil // no such directory: the caller says what is missing
	}
	secrets, err := devstack.LoadSecrets(cfg.Dev.Dir)
	if err != nil {
		return cfg, err
	}
	if cfg, err = cfg.WithSecrets(secrets.Secret, secrets.Keyset); err != nil {
		return cfg, fmt.Errorf("read the generated secrets: %w", err)
	}
	if cfg.Database.URL, err = devDatabase(cfg.Dev.Dir); err != nil {
		return cfg, err
	}
	cfg.Egress.AllowHTTP, cfg.Egress.AllowLoopback = true, true // as `greenroom dev` itself
	return cfg, nil
}

// postmasterPort is the line of postmaster.pid that holds the port (PostgreSQL's src/include/utils/pidfile.h).
const postmasterPort = 3

// devDatabase is the address of the cluster that runs in a development directory.
func devDatabase(dir string) (string, error) {
	password, err := os.ReadFile(filepath.Join(dir, "postgres.password"))
	if err != nil {
		return "", notRunning(dir)
	}
	state, err := os.ReadFile(filepath.Join(dir, "postgres", "postmaster.pid"))
	lines := strings.Split(string(state), "\n")
	if err != nil || len(lines) <= postmasterPort {
		return "", notRunning(dir)
	}
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword("greenroom", strings.TrimSpace(string(password))),
		Host: net.JoinHostPort("127.0.0.1", strings.TrimSpace(lines[postmasterPort])), Path: "/greenroom", RawQuery: "sslmode=disable",
	}
	return u.String(), nil
}

func notRunning(dir string) error {
	return fmt.Errorf("the database of `greenroom dev` in %s does not run: start it (make run), or set GREENROOM_DATABASE_URL", dir)
}
