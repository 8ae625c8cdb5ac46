package admin_test

import (
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"greenroom/cmd/internal/admin"
	"greenroom/cmd/internal/config"
	"greenroom/db"
	"greenroom/db/dbtest"
	"greenroom/db/pg"
	"greenroom/db/seal"
)

func TestOpen(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cfg := config.Config{Dev: config.Dev{Dir: dir}}
	_, err := admin.Open(t.Context(), cfg, "secret")
	require.ErrorContains(t, err, "set GREENROOM_DATABASE_URL")
	require.ErrorContains(t, err, "set GREENROOM_SECRET")

	secrets := "GREENROOM_SECRET=" + strings.Repeat("ab", 32) + "\nGREENROOM_KEYSET='{\"primaryKeyId\":1,\"key\":[{}]}'\n"
	require.NoError(t, os.WriteFile(filepath.Join(dir, "secrets"), []byte(secrets), 0o600))
	_, err = admin.Open(t.Context(), cfg, "secret")
	require.EqualError(
		t,
		err,
		"the database of `greenroom dev` in "+dir+" is not running: start it (make run), or set GREENROOM_DATABASE_URL",
	)

	cfg.Database.URL = "postgres://u:p@127.0.0.1:1/x"
	_, err = admin.Open(t.Context(), cfg, "secret")
	require.ErrorContains(t, err, "set GREENROOM_SECRET", "the directory's secrets are not used with another database")
}

// The test creates a directory like that of `greenroom dev`, for the test's own server.
func TestOpen_finds_the_database_of_a_running_dev(t *testing.T) {
	t.Parallel()
	server, err := url.Parse(os.Getenv(dbtest.URLVariable))
	require.NoError(t, err)
	require.NotEmpty(t, server.Host, dbtest.URLVariable)
	password, _ := server.User.Password()
	keyset, err := seal.NewKeyset()
	require.NoError(t, err)
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "postgres"), 0o700))
	for name, content := range map[string]string{
		"secrets":                 "GREENROOM_SECRET=" + strings.Repeat("ab", 32) + "\nGREENROOM_KEYSET='" + keyset + "'\n",
		"postgres.password":       password + "\n",
		"postgres/postmaster.pid": "1\n/data\n1700000000\n" + server.Port() + "\n\n127.0.0.1\n",
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600))
	}

	own, err := pg.Open(t.Context(), pg.Options{URL: server.String()})
	require.NoError(t, err)
	defer own.Close()
	_, err = db.Migrate(t.Context(), own)
	require.NoError(t, err)

	a, err := admin.Open(t.Context(), config.Config{Dev: config.Dev{Dir: dir}}, "secret", "keyset")

	require.NoError(t, err)
	defer a.Close()
	require.NoError(t, a.DB.PingContext(t.Context()))
	require.NoError(t, a.CheckURL("http://127.0.0.1:9000/"), "greenroom dev sends to this machine")
	require.Len(t, a.Secret, 32)
}

func TestOpen_refuses(t *testing.T) {
	t.Parallel()
	keyset, err := seal.NewKeyset()
	require.NoError(t, err)
	other, err := seal.NewKeyset()
	require.NoError(t, err)
	d, migrated := dbtest.NewURL(t)
	box, err := seal.New(keyset)
	require.NoError(t, err)
	require.NoError(t, db.CheckKeyset(t.Context(), d, box)) // the installation's keyset from now on
	open := func(url, keyset string, secrets ...string) error {
		a, err := admin.Open(t.Context(), config.Config{Database: config.Database{URL: url, MaxConns: 2}, Keyset: keyset},
			secrets...)
		if err == nil {
			require.NoError(t, a.Close())
		}
		return err
	}
	t.Run("another_keyset_for_a_command_that_seals", func(t *testing.T) {
		require.ErrorIs(t, open(migrated, other, "keyset"), db.ErrOtherKeyset)
		require.NoError(t, open(migrated, other), "a command that does not seal needs no keyset")
		require.NoError(t, open(migrated, keyset, "keyset"))
	})
	t.Run("a_keyset_that_is_none", func(t *testing.T) {
		require.ErrorContains(t, open(migrated, "{}"), "keyset")
	})
	t.Run("a_database_that_is_not_migrated", func(t *testing.T) {
		_, url := dbtest.NewURL(t)
		empty, err := pg.Open(t.Context(), pg.Options{URL: url, MaxConns: 1})
		require.NoError(t, err)
		defer empty.Close()
		_, err = empty.ExecContext(t.Context(), "DROP SCHEMA public CASCADE; CREATE SCHEMA public")
		require.NoError(t, err)
		require.ErrorIs(t, open(url, ""), db.ErrNotMigrated)
	})
	t.Run("a_server_that_does_not_answer", func(t *testing.T) {
		require.Error(t, open("postgres://u:correct-horse@127.0.0.1:1/x?connect_timeout=1", ""))
	})
	t.Run("a_directory_with_half_the_secrets", func(t *testing.T) {
		dir := t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(dir, "secrets"), []byte("GREENROOM_SECRET=ab\n"), 0o600))
		_, err := admin.Open(t.Context(), config.Config{Dev: config.Dev{Dir: dir}})
		require.ErrorContains(t, err, "lacks GREENROOM_SECRET or GREENROOM_KEYSET")
	})
	t.Run("a_directory_with_a_short_secret", func(t *testing.T) {
		dir := t.TempDir()
		text := "GREENROOM_SECRET=ab\nGREENROOM_KEYSET='" + keyset + "'\n"
		require.NoError(t, os.WriteFile(filepath.Join(dir, "secrets"), []byte(text), 0o600))
		_, err := admin.Open(t.Context(), config.Config{Dev: config.Dev{Dir: dir}})
		require.ErrorContains(t, err, "read the generated secrets: must be at least 32 bytes")
	})
}
