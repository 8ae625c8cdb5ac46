package service

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/uptrace/bun"

	"greenroom/cmd/internal/config"
	"greenroom/db"
	"greenroom/db/pg"
	"greenroom/db/seal"
)

// OpenDB opens the configured database. It returns an error if the database is unavailable.
func OpenDB(ctx context.Context, cfg config.Config) (*bun.DB, error) {
	return pg.Open(ctx, pg.Options{
		URL: cfg.Database.URL, MaxConns: cfg.Database.MaxConns, Trace: traced(cfg),
	})
}

// engineConns bounds the connections of the API's engine pool: two groups of events and two large submissions are
// stored at once, each on one connection. The others are for notifications and for counting the webhooks of event
// types.
const engineConns = 8

// openEngine opens the configured database for the statements of the delivery engine.
func openEngine(ctx context.Context, cfg config.Config, maxConns int) (*bun.DB, error) {
	return pg.Open(ctx, pg.Options{URL: cfg.Database.URL, MaxConns: maxConns, Engine: true, Trace: traced(cfg)})
}

// AwaitDB opens the configured database and waits until it is available or ctx ends: an orchestrator restarts a process
// that exits at ever longer intervals. A database that refuses the URL, or cannot prove its name, is an error at once.
func AwaitDB(ctx context.Context, cfg config.Config, logger *slog.Logger) (*bun.DB, error) {
	said := false
	for {
		d, err := OpenDB(ctx, cfg)
		if err == nil || !pg.IsUnavailable(err) || refusesURL(err) || isUnproven(err) || ctx.Err() != nil {
			return d, err
		}
		if !said {
			logger.WarnContext(ctx, "waiting for PostgreSQL", "error", err)
			said = true
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(err, ctx.Err())
		case <-time.After(dialRetry):
		}
	}
}

// refusesURL reports whether the server refused the user, the password or the database, or a pooler a parameter.
func refusesURL(err error) bool {
	var refused *pgconn.PgError
	return errors.As(err, &refused) && (strings.HasPrefix(refused.Code, "28") || refused.Code == "3D000") ||
		pg.RefusesParameters(err)
}

// isUnproven reports whether the server's certificate is not what the URL demands (sslmode, sslrootcert).
func isUnproven(err error) bool {
	var unproven *tls.CertificateVerificationError
	return errors.As(err, &unproven)
}

// openBox returns the configured keyset, unless it is certain that the installation has another. A database that does
// not answer yet, or is not migrated, decides nothing: /readyz checks the keyset again.
func openBox(ctx context.Context, cfg config.Config, d *bun.DB) (*seal.Box, error) {
	box, err := seal.New(cfg.Keyset)
	if err != nil {
		return nil, err
	}
	if err := db.CheckKeyset(ctx, d, box); errors.Is(err, db.ErrOtherKeyset) {
		return nil, err
	}
	return box, nil
}
