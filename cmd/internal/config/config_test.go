package config_test

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"greenroom/cmd/internal/config"
)

const keyset = `{"primaryKeyId":7,"key":[{"keyId":7}]}`

// The tests here are not parallel because they set environment variables.

func TestLoad_defaults(t *testing.T) {
	c, err := config.Load(nil)

	require.NoError(t, err)
	assert.Equal(t, config.HTTP{Addr: "127.0.0.1:8080", PublicURL: "http://127.0.0.1:8080", MaxConns: 2000}, c.HTTP)
	assert.Equal(t, config.Database{MaxConns: 40}, c.Database)
	assert.Equal(t, config.Temporal{Address: "127.0.0.1:7233", Namespace: "default", TaskQueue: "greenroom"}, c.Temporal)
	assert.Equal(t, config.Dispatch{
		PollInterval: time.Second, BatchAbove: 20, MaxInFlightPerEndpoint: 64, MaxInFlightPerHost: 256, MaxInFlight: 1000,
	}, c.Dispatch)
	assert.Equal(
		t,
		config.Circuit{
			Threshold:     10,
			Span:          5 * time.Second,
			Recovery:      config.RecoverByProfile,
			Cooldown:      30 * time.Second,
			CooldownLimit: 15 * time.Minute,
			DisableAfter:  120 * time.Hour,
			ReleaseLimit:  100,
		},
		c.Circuit,
	)
	assert.Equal(t, config.Egress{}, c.Egress)
	assert.Equal(t, config.Interview{
		InvitationDeadline: 7 * 24 * time.Hour, MaxDuration: 2 * time.Hour, AnalysisTimeout: time.Hour,
		NoAnswerRetries: 2, NoAnswerDelay: 5 * time.Minute,
	}, c.Interview)
	assert.Equal(
		t,
		config.RateLimit{
			PerMinute: 60, PerHour: 2000, CompanyPerMinute: 600, CompanyPerHour: 20_000, PublicPerMinute: 300,
		},
		c.RateLimit,
	)
	assert.Equal(t, config.Quota{Webhooks: 1000, EventTypes: 500, APIKeys: 1000, MediaBytes: 100 << 30}, c.Quota)
	assert.Equal(t, 30, c.Retention.Days)
	assert.Equal(
		t,
		config.Media{
			Dir: "/var/lib/greenroom/media", MaxBytes: 512 << 20, MinFree: 1 << 30, S3: config.S3{Region: "us-east-1"},
		},
		c.Media,
	)
	assert.Equal(t, config.Log{Level: slog.LevelInfo, Format: config.LogText}, c.Log)
	assert.Equal(t, config.Dev{Dir: ".data", PostgresPort: 54329, TemporalPort: 7233, TemporalUIPort: 8233}, c.Dev)
	assert.False(t, c.Explicit("temporal.address"))
}

func TestLoad_media_in_a_bucket(t *testing.T) {
	t.Setenv("GREENROOM_MEDIA_S3_ENDPOINT", "https://s3.example.com/")
	t.Setenv("GREENROOM_MEDIA_S3_BUCKET", "videos")
	t.Setenv("GREENROOM_MEDIA_S3_REGION", "eu-central-1")
	t.Setenv("GREENROOM_MEDIA_S3_ACCESS_KEY", "key")
	_, err := config.Load(nil)
	require.ErrorContains(t, err, "media.s3_secret_key go together")

	t.Setenv("GREENROOM_MEDIA_S3_SECRET_KEY", "hidden")
	c, err := config.Load(nil)
	require.NoError(t, err)
	assert.Equal(t, config.S3{
		Endpoint: "https://s3.example.com", Bucket: "videos", Region: "eu-central-1", AccessKey: "key", SecretKey: "hidden",
	}, c.Media.S3)
}

func TestLoad_environment(t *testing.T) {
	for name, value := range map[string]string{
		"GREENROOM_HTTP_ADDR": ":9000", "GREENROOM_DEV_DIR": "/data", "GREENROOM_DEV_POSTGRES_PORT": "1",
		"GREENROOM_DEV_TEMPORAL_PORT": "2", "GREENROOM_DEV_TEMPORAL_UI_PORT": "3",
		"GREENROOM_DATABASE_URL": "postgres://u:p@h/d", "GREENROOM_TEMPORAL_ADDRESS": "t:7233",
		"GREENROOM_EGRESS_ALLOW_LOOPBACK": "true", "GREENROOM_CIRCUIT_RECOVERY": "probe",
		"GREENROOM_SECRET": strings.Repeat("ab", 32), "GREENROOM_KEYSET": keyset, "GREENROOM_LOG_LEVEL": "DEBUG",
		"GREENROOM_HTTP_TRUSTED_PROXIES": "192.0.2.1, 10.0.0.0/8", "GREENROOM_WORKER_DEPLOYMENT_NAME": "greenroom",
	} {
		t.Setenv(name, value)
	}

	c, err := config.Load(nil)

	require.NoError(t, err)
	assert.Equal(t, ":9000", c.HTTP.Addr)
	assert.Equal(t, "http://localhost:9000", c.HTTP.PublicURL)
	assert.Equal(t, []string{"192.0.2.1", "10.0.0.0/8"}, c.HTTP.TrustedProxies.List())
	assert.Equal(t, config.Worker{DeploymentName: "greenroom"}, c.Worker)
	assert.Equal(t, config.Dev{Dir: "/data", PostgresPort: 1, TemporalPort: 2, TemporalUIPort: 3}, c.Dev)
	assert.Equal(t, "postgres://u:p@h/d", c.Database.URL)
	assert.Equal(t, "t:7233", c.Temporal.Address)
	assert.True(t, c.Egress.AllowLoopback)
	assert.Equal(t, config.RecoverByProbe, c.Circuit.Recovery)
	assert.Equal(t, strings.Repeat("\xab", 32), string(c.Secret.Bytes()))
	assert.Equal(t, keyset, c.Keyset)
	assert.Equal(t, slog.LevelDebug, c.Log.Level)
	assert.True(t, c.Explicit("temporal.address"))
	assert.NoError(t, c.Require("database.url", "secret", "keyset"))
}

func TestLoad_precedence(t *testing.T) {
	file := write(t, "http:\n  addr: file:1\ncircuit:\n  threshold: 7\nretention:\n  days: 5\n")
	t.Setenv("GREENROOM_CIRCUIT_THRESHOLD", "8")
	t.Setenv("GREENROOM_HTTP_ADDR", "env:2")
	flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
	config.AddFlags(flags, "http.addr", "dev.dir", "dev.postgres_port", "temporal.address")
	require.NoError(t, flags.Parse([]string{"--config", file, "--http-addr", "flag:3", "--postgres-port", "99"}))

	c, err := config.Load(flags)

	require.NoError(t, err)
	assert.Equal(t, "flag:3", c.HTTP.Addr, "a flag takes precedence over the environment")
	assert.Equal(t, 8, c.Circuit.Threshold, "the environment takes precedence over the file")
	assert.Equal(t, 5, c.Retention.Days, "the file takes precedence over the default")
	assert.Equal(t, 99, c.Dev.PostgresPort)
	assert.Equal(t, ".data", c.Dev.Dir)
	assert.False(t, c.Explicit("temporal.address"), "a flag that is not given is not explicit")
}

func TestLoad_refuses(t *testing.T) {
	long := strings.Repeat("ab", 31)
	for _, tt := range []struct{ env, value, name, fault string }{
		{"GREENROOM_HTTP_ADDR", "8080", "http.addr", `must be host:port, not "8080"`},
		{"GREENROOM_HTTP_ADDR", "h:70000", "http.addr", `must be host:port, not "h:70000"`},
		{"GREENROOM_HTTP_PUBLIC_URL", "ftp://x", "http.public_url", `must be an http or https address, not "ftp://x"`},
		{"GREENROOM_DATABASE_URL", "mysql://root:pw@x", "database.url", `must be a PostgreSQL address such as ` +
			`postgres://user:password@host:5432/database`},
		{"GREENROOM_HTTP_TRUSTED_PROXIES", "10.0.0.0/8, proxy", "http.trusted_proxies", `must be addresses or ` +
			`ranges such as 10.0.0.0/8, separated by commas, not "10.0.0.0/8, proxy"`},
		{"GREENROOM_WORKER_DEPLOYMENT_NAME", "a.b", "worker.deployment_name", `must not contain "." or ":" ` +
			`nor begin with "__", not "a.b"`},
		{"GREENROOM_DATABASE_MAX_CONNS", "many", "database.max_conns", `must be a whole number from 3 to 10000, not "many"`},
		{"GREENROOM_CIRCUIT_THRESHOLD", "5", "circuit.threshold", `must be a whole number from 6 to 19, not "5"`},
		{"GREENROOM_CIRCUIT_THRESHOLD", "20", "circuit.threshold", `must be a whole number from 6 to 19, not "20"`},
		{"GREENROOM_CIRCUIT_RECOVERY", "auto", "circuit.recovery", `must be manual or probe or profile, not "auto"`},
		{"GREENROOM_CIRCUIT_COOLDOWN", "5", "circuit.cooldown", `must be a duration such as 500ms, 10s, 5m or 168h, ` +
			`at least 1s, not "5"`},
		{"GREENROOM_EGRESS_ALLOW_HTTP", "yes", "egress.allow_http", `must be true or false, not "yes"`},
		{"GREENROOM_SECRET", long, "secret", `must be at least 32 bytes in hexadecimal, as ` +
			"`openssl rand -hex 32` prints them"},
		{"GREENROOM_KEYSET", `{"key":[]}`, "keyset", `must be a Tink keyset in JSON, with primaryKeyId and key`},
		{"GREENROOM_SMTP_URL", "http://user:pw@mail", "smtp.url", `must be a mail server's address such as ` +
			`smtp://user:password@mail.example.com:587`},
		{"GREENROOM_SMTP_URL", "smtp://mail.test", "smtp.from", `is required with smtp.url`},
		{"GREENROOM_SMTP_FROM", "nobody", "smtp.from", `must be an e-mail address such as Recruiting <jobs@example.com>, ` +
			`not "nobody"`},
		{"GREENROOM_LOG_LEVEL", "loud", "log.level", `must be debug, info, warn or error, not "loud"`},
		{"GREENROOM_LOG_FORMAT", "xml", "log.format", `must be text or json, not "xml"`},
		{"GREENROOM_DEV_POSTGRES_PORT", "0", "dev.postgres_port", `must be a whole number from 1 to 65535, not "0"`},
	} {
		t.Run(tt.env+"="+tt.value, func(t *testing.T) {
			t.Setenv(tt.env, tt.value)

			_, err := config.Load(nil)

			variable := "GREENROOM_" + strings.ToUpper(strings.ReplaceAll(tt.name, ".", "_"))
			require.EqualError(t, err, tt.name+" ("+variable+") "+tt.fault)
		})
	}
}

func TestLoad_reports_all_faults_together(t *testing.T) {
	t.Setenv("GREENROOM_CONFIG", write(t, "htp:\n  addr: x\nretention:\n  days: [1, 2]\n"))
	t.Setenv("GREENROOM_CIRCUIT_THRESHOLD", "3")

	_, err := config.Load(nil)

	require.EqualError(t, err, strings.Join([]string{
		`htp.addr is not a setting: see greenroom help settings`,
		`circuit.threshold (GREENROOM_CIRCUIT_THRESHOLD) must be a whole number from 6 to 19, not "3"`,
		`retention.days (GREENROOM_RETENTION_DAYS) must be a single value`,
	}, "\n"))
}

func TestLoad_keyset_from_file(t *testing.T) {
	t.Setenv("GREENROOM_KEYSET_FILE", write(t, keyset))

	c, err := config.Load(nil)
	require.NoError(t, err)
	assert.Equal(t, keyset, c.Keyset)

	t.Setenv("GREENROOM_KEYSET", keyset)
	_, err = config.Load(nil)
	require.EqualError(t, err, "keyset and keyset_file are both set: remove one of them")
}

func TestLoad_file_that_is_missing(t *testing.T) {
	t.Setenv("GREENROOM_CONFIG", filepath.Join(t.TempDir(), "none.yaml"))

	_, err := config.Load(nil)

	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestRequire_names_what_is_missing(t *testing.T) {
	c, err := config.Load(nil)
	require.NoError(t, err)

	err = c.Require("database.url", "secret", "http.addr")

	require.ErrorContains(t, err, "database.url is not set: set GREENROOM_DATABASE_URL")
	require.ErrorContains(t, err, "secret is not set: set GREENROOM_SECRET")
	assert.NotContains(t, err.Error(), "http.addr is not set")
}

func TestKey_hides_itself(t *testing.T) {
	key := config.Key("correct horse")
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("start", "key", key)

	formatted := fmt.Sprintf("%#v %+v", key, struct{ K config.Key }{key})
	for _, shown := range []string{fmt.Sprint(key), formatted, log.String()} {
		assert.NotContains(t, shown, "horse")
	}
}

// Load has already checked every default that is not empty, so the test checks only the descriptions.
func TestDescribe(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range config.Describe() {
		assert.False(t, seen[s.Name], "%s is defined twice", s.Name)
		seen[s.Name] = true
		assert.NotEmpty(t, s.Meaning, s.Name)
		assert.Equal(t, "GREENROOM_"+strings.ToUpper(strings.ReplaceAll(s.Name, ".", "_")), s.Env)
	}
}

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "settings.yaml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}
