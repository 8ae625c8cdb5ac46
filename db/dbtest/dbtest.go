// Package dbtest gives each test a separate, migrated database on a real PostgreSQL server.
//
// The first test of a schema version migrates a template database; every test copies that template, which is cheap.
// GREENROOM_TEST_DATABASE_URL names the server; `make test` starts one.
package dbtest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"greenroom/db"
	"greenroom/db/migrations"
	"greenroom/db/pg"
)

// URLVariable is the name of the environment variable with the server's URL.
const URLVariable = "GREENROOM_TEST_DATABASE_URL"

// New returns a pool on a new, migrated database, which is dropped when the test ends.
func New(t testing.TB) *bun.DB {
	t.Helper()
	d, _ := NewURL(t)
	return d
}

// NewURL is like New and also returns the database's URL, for another process or a LISTEN connection.
func NewURL(t testing.TB) (*bun.DB, string) {
	t.Helper()
	server := os.Getenv(URLVariable)
	if server == "" {
		t.Fatalf("%s is not set: run the tests with `make test`, or one package with "+
			"`go run ./cmd/greenroom dev exec -- go test ./db/...`", URLVariable)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	admin, err := pg.Open(ctx, pg.Options{URL: server, MaxConns: 2})
	require.NoError(t, err)
	template, err := ensureTemplate(ctx, admin, server)
	require.NoError(t, err)
	name := "t_" + strings.ReplaceAll(uuid.NewString(), "-", "")
	_, err = admin.ExecContext(ctx, "CREATE DATABASE ? TEMPLATE ?", bun.Ident(name), bun.Ident(template))
	require.NoError(t, err)
	url := withDatabase(server, name)
	d, err := pg.Open(ctx, pg.Options{URL: url, MaxConns: 20})
	require.NoError(t, err)
	t.Cleanup(func() {
		_ = d.Close()
		_, err := admin.ExecContext(context.Background(), "DROP DATABASE ? WITH (FORCE)", bun.Ident(name))
		if err != nil {
			t.Errorf("drop test database: %v", err)
		}
		_ = admin.Close()
	})
	return d, url
}

// ensureTemplate creates the template of this schema version, unless another test process already has.
func ensureTemplate(ctx context.Context, admin *bun.DB, server string) (string, error) {
	name := "template_" + schemaHash()
	conn, err := admin.Conn(ctx)
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close() }()
	if _, err := conn.ExecContext(ctx, "SELECT pg_advisory_lock(7)"); err != nil {
		return "", err
	}
	defer func() { _, _ = conn.ExecContext(context.WithoutCancel(ctx), "SELECT pg_advisory_unlock(7)") }()
	var ready bool
	err = conn.NewRaw("SELECT EXISTS (SELECT 1 FROM pg_database WHERE datname = ? AND datistemplate)", name).
		Scan(ctx, &ready)
	if err != nil || ready {
		return name, err
	}
	if _, err := conn.ExecContext(ctx, "DROP DATABASE IF EXISTS ?", bun.Ident(name)); err != nil {
		return "", err
	}
	if _, err := conn.ExecContext(ctx, "CREATE DATABASE ?", bun.Ident(name)); err != nil {
		return "", err
	}
	if err := migrateOnce(ctx, withDatabase(server, name)); err != nil {
		return "", fmt.Errorf("migrate template: %w", err)
	}
	_, err = conn.ExecContext(ctx, "ALTER DATABASE ? IS_TEMPLATE true", bun.Ident(name))
	return name, err
}

func migrateOnce(ctx context.Context, url string) error {
	d, err := pg.Open(ctx, pg.Options{URL: url, MaxConns: 4})
	if err != nil {
		return err
	}
	defer func() { _ = d.Close() }()
	_, err = db.Migrate(ctx, d)
	return err
}

func schemaHash() string {
	h := sha256.New()
	h.Write(migrations.Source())
	return hex.EncodeToString(h.Sum(nil))[:16]
}

func withDatabase(server, name string) string {
	u, err := url.Parse(server)
	if err != nil {
		panic("dbtest: " + URLVariable + " is not a URL")
	}
	u.Path = "/" + name
	return u.String()
}
