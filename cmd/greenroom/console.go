package main

import (
	"context"
	"net/url"

	"greenroom/api/console"
	"greenroom/cmd/internal/admin"
	"greenroom/cmd/internal/client"
	"greenroom/cmd/internal/config"
	"greenroom/cmd/internal/service"
	"greenroom/db/pg"
)

// signInLink makes a link that signs in to the console of `greenroom dev` once and opens a page of it, through the
// database in its directory.
func signInLink(ctx context.Context, s client.Settings, page string) (string, error) {
	cfg, err := config.Load(nil)
	if err != nil {
		return "", err
	}
	cfg.Dev.Dir, cfg.Database.URL = s.DevDir, ""
	if cfg, err = admin.WithDevDir(cfg); err != nil {
		return "", err
	}
	cfg.HTTP.PublicURL = s.URL
	d, err := service.OpenDB(ctx, cfg)
	if err != nil {
		return "", err
	}
	defer pg.Close(d)
	link, err := service.ConsoleLink(ctx, cfg, d)
	if err != nil {
		return "", err
	}
	return link + "?next=" + url.QueryEscape(console.Path+page), nil
}
