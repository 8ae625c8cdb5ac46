package admin_test

import (
	"bytes"
	"encoding/json"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"greenroom/cmd/internal/admin"
	"greenroom/cmd/internal/config"
	"greenroom/db/dbtest"
	"greenroom/db/seal"
)

func printed(t *testing.T, asJSON bool, print func(admin.Printer) error) string {
	t.Helper()
	var out bytes.Buffer
	require.NoError(t, print(admin.Printer{Out: &out, JSON: asJSON}))
	return out.String()
}

func TestPrinter(t *testing.T) {
	t.Parallel()
	k := admin.Key{ID: uuid.New(), Plain: "sk_x", Prefix: "sk_", State: "active", Scopes: []string{"*"}}
	assert.Contains(t, printed(t, false, func(p admin.Printer) error { return p.NewKey(k) }), "API key  sk_x\n")
	assert.Contains(t, printed(t, false, func(p admin.Printer) error { return p.Keys([]admin.Key{k}) }), "every company")
	var got []map[string]any
	require.NoError(t, json.Unmarshal([]byte(printed(t, true, func(p admin.Printer) error { return p.Keys([]admin.Key{k}) })), &got))
	require.Equal(t, k.ID.String(), got[0]["id"])
	assert.Equal(t, "[]\n", printed(t, true, func(p admin.Printer) error { return p.Deliveries([]admin.Delivery{}) }))
}

func TestMoment(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"": {}, "2026-01-31": time.Date(2026, 1, 31, 0, 0, 0, 0, time.UTC),
		"2026-01-31T10:00:00+02:00": time.Date(2026, 1, 31, 8, 0, 0, 0, time.UTC),
		"36h":                       now.Add(-36 * time.Hour), "7d": now.AddDate(0, 0, -7), "1h30m": now.Add(-90 * time.Minute),
	} {
		got, err := admin.Moment("since", text, now, true)
		require.NoError(t, err, text)
		assert.Equal(t, want, got, text)
	}
	got, err := admin.Moment("expires", "90d", now, false)
	require.NoError(t, err)
	assert.Equal(t, now.AddDate(0, 0, 90), got)
	for _, bad := range []string{"yesterday", "-1h", "-1d", "9999999999d", "1.5d", "d"} {
		_, err := admin.Moment("since", bad, now, true)
		require.ErrorContains(t, err, "--since must be a time", bad)
	}
}

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
	require.EqualError(t, err, "the database of `greenroom dev` in "+dir+" does not run: start it (make run), or set GREENROOM_DATABASE_URL")

	cfg.Database.URL = "postgres://u:p@127.0.0.1:1/x"
	_, err = admin.Open(t.Context(), cfg, "secret")
	require.ErrorContains(t, err, "set GREENROOM_SECRET", "a directory's secrets do not go with another database")
}

// A directory as `greenroom dev` leaves it, around the test's own server.
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

	a, err := admin.Open(t.Context(), config.Config{Dev: config.Dev{Dir: dir}}, "secret", "keyset")

	require.NoError(t, err)
	defer a.Close()
	require.NoError(t, a.DB.PingContext(t.Context()))
	require.NoError(t, a.CheckURL("http://127.0.0.1:9000/"), "greenroom dev sends to this machine")
	require.Len(t, a.Secret, 32)
}
