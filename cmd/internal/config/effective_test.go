package config_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"greenroom/cmd/internal/config"
)

func TestEffectiveSettings(t *testing.T) {
	file := filepath.Join(t.TempDir(), "greenroom.yaml")
	require.NoError(
		t,
		os.WriteFile(file, []byte("circuit:\n  threshold: 8\n  cooldown: 1m\nlog:\n  level: debug\n"), 0o600),
	)
	for name, value := range map[string]string{
		"GREENROOM_CONFIG": file, "GREENROOM_CIRCUIT_COOLDOWN": "2m", "GREENROOM_HTTP_ADDR": "127.0.0.1:1",
		"GREENROOM_SECRET":       "6b6579206f66207468652074657374732c20333220627974657320696e206865",
		"GREENROOM_SMTP_URL":     "smtp://eva:geheim@mail.example:25",
		"GREENROOM_DATABASE_URL": "postgres://u:geheim@db.example:5432/greenroom?sslpassword=geheim",
	} {
		t.Setenv(name, value)
	}
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	config.AddFlags(flags, "http.addr", "database.url")
	require.NoError(t, flags.Parse([]string{"--http-addr", "127.0.0.1:2"}))

	all, err := config.EffectiveSettings(flags)

	require.NoError(t, err)
	require.Len(t, all, len(config.Describe()))
	found := map[string]config.Effective{}
	for _, s := range all {
		found[s.Name] = s
		assert.NotContains(t, s.Value, "geheim")
	}
	for name, want := range map[string]struct {
		value  string
		origin config.Origin
	}{
		"http.addr":         {"127.0.0.1:2", config.FromFlag},
		"circuit.cooldown":  {"2m", config.FromEnvironment},
		"circuit.threshold": {"8", config.FromFile},
		"log.level":         {"debug", config.FromFile},
		"retention.days":    {"30", config.FromDefault},
		"secret":            {"********", config.FromEnvironment},
		"keyset":            {"", config.FromDefault},
		"smtp.url":          {"smtp://********@mail.example:25", config.FromEnvironment},
		"database.url":      {"postgres://********@db.example:5432/greenroom", config.FromEnvironment},
	} {
		assert.Equal(t, want.value, found[name].Value, name)
		assert.Equal(t, want.origin, found[name].Origin, name)
	}
}
