package client_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"greenroom/cmd/internal/client"
)

func TestLoadSettings(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	env := map[string]string{"GREENROOM_DEV_DIR": dir}
	getenv := func(name string) string { return env[name] }

	_, err := client.LoadSettings(getenv)
	require.ErrorContains(t, err, "start `make run` first")

	file := "GREENROOM_URL=http://a\nGREENROOM_API_KEY=sk_a\nGREENROOM_TEMPORAL_UI=http://ui\n"
	require.NoError(t, os.WriteFile(filepath.Join(dir, "dev.env"), []byte(file), 0o600))
	s, err := client.LoadSettings(getenv)
	require.NoError(t, err)
	assert.Equal(t, client.Settings{URL: "http://a", APIKey: "sk_a", TemporalUI: "http://ui", DevDir: dir}, s)

	env["GREENROOM_URL"] = "http://a/"
	s, err = client.LoadSettings(getenv)
	require.NoError(t, err)
	assert.Equal(t, "sk_a", s.APIKey, "the same API")

	env["GREENROOM_URL"] = "http://b"
	_, err = client.LoadSettings(getenv)
	require.EqualError(t, err, "there is no key for the API at http://b: set --key or GREENROOM_API_KEY",
		"the key of one API is not sent to another")

	env["GREENROOM_API_KEY"] = "sk_b"
	s, err = client.LoadSettings(getenv)
	require.NoError(t, err)
	assert.Equal(t, "http://b sk_b", s.URL+" "+s.APIKey, "the environment takes precedence")
	assert.Empty(t, s.DevDir, "it is another API")
}

func TestLink(t *testing.T) {
	t.Parallel()
	s := client.Settings{URL: "http://a/"}
	assert.Equal(t, "http://a/console/deliveries/d", s.Link(t.Context(), "/deliveries/d"))
	s.SignIn = func(_ context.Context, page string) (string, error) { return "http://a/console/enter/x" + page, nil }
	assert.Equal(t, "http://a/console/enter/x/deliveries/d", s.Link(t.Context(), "/deliveries/d"))
	s.SignIn = func(context.Context, string) (string, error) { return "", errors.New("the database is away") }
	assert.Equal(t, "http://a/console/deliveries/d", s.Link(t.Context(), "/deliveries/d"))
}
