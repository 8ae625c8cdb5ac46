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
