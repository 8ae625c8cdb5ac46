package service

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"greenroom/api/console"
	"greenroom/cmd/internal/config"
	"greenroom/db"
	"greenroom/db/pg"
)

func consoleOptions(cfg config.Config, examine func(context.Context) []console.Finding) (o console.Options, err error) {
	o = console.Options{
		Version: cfg.Worker.BuildID, Examine: examine,
		Disabled: !cfg.Console.Enabled, TemporalUI: strings.TrimRight(cfg.Temporal.UIURL, "/"),
		TemporalNamespace: cfg.Temporal.Namespace, Probes: cfg.Circuit.Recovery == config.RecoverByProbe,
	}
	if cfg.Console.OIDCIssuer != "" {
		if o.OIDC, err = oidcOptions(cfg); err != nil {
			return o, err
		}
	}
	for _, s := range cfg.Effective() {
		o.Settings = append(o.Settings, console.Setting{
			Name: s.Name, Env: s.Env, Value: s.Value, Origin: string(s.Origin), Meaning: s.Meaning,
		})
	}
	return o, nil
}

// oidcOptions calls the provider directly, as other services of the operator: also in a private network.
func oidcOptions(cfg config.Config) (o console.OIDC, err error) {
	roots, err := authorities(servicesCASetting, cfg.Egress.ServicesCA)
	if err != nil {
		return o, err
	}
	o = console.OIDC{
		Issuer: cfg.Console.OIDCIssuer, ClientID: cfg.Console.OIDCClientID, ClientSecret: cfg.Console.OIDCClientSecret,
		Client: operatorClient(roots, nil).HTTPClient(),
	}
	if o.Access, err = console.ParseAccess(cfg.Console.OIDCAccess); err != nil {
		return o, fmt.Errorf("console.oidc_access %w", err)
	}
	return o, nil
}

// consoleURL is the console's address for links; "" if it is switched off.
func consoleURL(cfg config.Config) string {
	if !cfg.Console.Enabled {
		return ""
	}
	return cfg.HTTP.PublicURL + console.Path
}

// linkLife is how long the link that `greenroom dev` prints works: long enough to read what it prints.
const linkLife = 15 * time.Minute

// ConsoleLink returns a link that signs in to the console of `greenroom dev` once, as an operator of all companies. It
// creates that key the first time: derived from the installation's secret as the demo key, and never shown.
func ConsoleLink(ctx context.Context, cfg config.Config, d *bun.DB) (string, error) {
	if !cfg.Console.Enabled {
		return "", nil
	}
	_, hash, prefix := db.DeriveKey(cfg.Secret.Bytes(), "console")
	_, err := db.FindAPIKey(ctx, d, hash)
	if errors.Is(err, pg.ErrNotFound) {
		err = pg.InTx(ctx, d, func(ctx context.Context, tx bun.Tx) error {
			return db.CreateAPIKey(ctx, tx, &db.APIKey{
				Name: "console", Hash: hash, Prefix: prefix, SecretID: db.SecretID(cfg.Secret.Bytes()),
				Scopes: []string{db.AllScopes}, RatePerMinute: demoRate, RatePerHour: demoRate,
			}, "dev")
		})
	}
	if err != nil {
		return "", fmt.Errorf("create the console's key: %w", err)
	}
	token, err := db.CreateConsoleLink(ctx, d, hash, linkLife)
	if err != nil {
		return "", err
	}
	return consoleURL(cfg) + "/enter/" + token, nil
}
