package config_test

import (
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"greenroom/cmd/internal/config"
)

// everySetting has a value for each setting that differs from its default and from the values of other settings.
var everySetting = map[string]string{
	"http.addr":                           "10.0.0.1:81",
	"http.public_url":                     "https://api.example.com/base/",
	"http.metrics_addr":                   "127.0.0.1:89",
	"http.max_conns":                      "90",
	"http.drain_delay":                    "7s",
	"http.trusted_proxies":                "192.0.2.1,2001:db8::/32",
	"database.url":                        "postgres://u:p@h/d",
	"database.max_conns":                  "11",
	"temporal.address":                    "temporal.example:7000",
	"temporal.namespace":                  "interviews",
	"temporal.task_queue":                 "queue",
	"temporal.api_key":                    "temporal-key",
	"temporal.tls":                        "true",
	"temporal.tls_ca_file":                "/ca.pem",
	"temporal.tls_cert_file":              "/cert.pem",
	"temporal.tls_key_file":               "/key.pem",
	"temporal.tls_server_name":            "frontend",
	"temporal.ui_url":                     "https://ui.example.com",
	"worker.http_addr":                    "127.0.0.1:82",
	"worker.journal_dir":                  "/journal",
	"worker.deployment_name":              "deployment",
	"worker.build_id":                     "build",
	"secret":                              strings.Repeat("cd", 33),
	"secret_next":                         strings.Repeat("ce", 33),
	"secret_previous":                     strings.Repeat("cf", 33),
	"keyset":                              keyset,
	"keyset_file":                         "", // excludes keyset
	"dispatch.poll_interval":              "12ms",
	"dispatch.batch_above":                "13",
	"dispatch.max_in_flight_per_endpoint": "14",
	"dispatch.max_in_flight_per_host":     "141",
	"dispatch.max_in_flight":              "142",
	"circuit.threshold":                   "15",
	"circuit.recovery":                    "probe",
	"circuit.span":                        "15s",
	"circuit.cooldown":                    "16s",
	"circuit.cooldown_limit":              "18s",
	"circuit.disable_after":               "0s",
	"circuit.release_limit":               "17",
	"egress.allow_http":                   "true",
	"egress.allow_loopback":               "true",
	"egress.allow_private":                "true",
	"egress.ca_file":                      "/receivers.pem",
	"egress.client_cert_file":             "/client.pem",
	"egress.client_key_file":              "/client-key.pem",
	"egress.proxy_url":                    "http://u:p@proxy.example:3128",
	"egress.services_ca_file":             "/services.pem",
	"provider.url":                        "http://provider.example",
	"provider.token":                      "provider-token",
	"analysis.url":                        "http://analysis.example",
	"analysis.token":                      "analysis-token",
	"generator.url":                       "http://generator.example",
	"generator.token":                     "generator-token",
	"sourcing.url":                        "http://sourcing.example",
	"sourcing.token":                      "sourcing-token",
	"sourcing.timeout":                    "36m",
	"extractor.url":                       "http://extractor.example",
	"extractor.token":                     "extractor-token",
	"smtp.url":                            "smtps://u:p@mail.example:465",
	"smtp.from":                           "Jobs <jobs@example.com>",
	"notify.window":                       "21s",
	"interview.invitation_deadline":       "18h",
	"interview.max_duration":              "19h",
	"interview.analysis_timeout":          "20h",
	"interview.no_answer_retries":         "0",
	"interview.no_answer_delay":           "21s",
	"ratelimit.per_minute":                "22",
	"ratelimit.per_hour":                  "23",
	"ratelimit.company_per_minute":        "32",
	"ratelimit.company_per_hour":          "33",
	"interview_suite.self_service":        "true",
	"staff.token_max_age":                 "34m",
	"console.enabled":                     "false",
	"retention.audit_days":                "35",
	"retention.days":                      "24",
	"media.dir":                           "/media",
	"media.max_bytes":                     "25",
	"media.min_free":                      "26",
	"ratelimit.public_per_minute":         "27",
	"quota.webhooks":                      "28",
	"quota.event_types":                   "29",
	"quota.api_keys":                      "30",
	"quota.media_bytes":                   "31",
	"media.s3_endpoint":                   "http://s3.example",
	"media.s3_bucket":                     "bucket",
	"media.s3_region":                     "region",
	"media.s3_access_key":                 "access",
	"media.s3_secret_key":                 "s3-secret",
	"log.level":                           "warn",
	"log.format":                          "json",
	"tracing.endpoint":                    "http://collector.example:4318/",
	"tracing.sample_ratio":                "0.25",
	"tracing.propagate":                   "true",
	"pprof.addr":                          "127.0.0.1:83",
	"dev.dir":                             "/dev-data",
	"dev.postgres_port":                   "84",
	"dev.temporal_port":                   "85",
	"dev.temporal_ui_port":                "86",
}

func TestLoad_reads_every_setting_into_its_own_field(t *testing.T) {
	var described []string
	for _, s := range config.Describe() {
		described = append(described, s.Name)
	}
	require.ElementsMatch(t, described, slices.Collect(maps.Keys(everySetting)), "a new setting belongs in the table")
	for source, set := range map[string]func(t *testing.T){
		"file": func(t *testing.T) {
			t.Setenv("GREENROOM_CONFIG", write(t, asYAML(everySetting)))
		},
		"environment": func(t *testing.T) {
			for name, value := range everySetting {
				t.Setenv(variable(name), value)
			}
		},
	} {
		t.Run(source, func(t *testing.T) {
			set(t)
			c, err := config.Load(nil)
			require.NoError(t, err)
			assertEverySetting(t, c)
			for name, value := range everySetting {
				assert.Equal(t, value != "", c.Explicit(name), name)
			}
		})
	}
}

func assertEverySetting(t *testing.T, c config.Config) {
	t.Helper()
	assert.Equal(t, config.HTTP{
		Addr: "10.0.0.1:81", PublicURL: "https://api.example.com/base", TrustedProxies: "192.0.2.1,2001:db8::/32",
		MetricsAddr: "127.0.0.1:89", MaxConns: 90, DrainDelay: 7 * time.Second,
	}, c.HTTP)
	assert.Equal(t, config.Database{URL: "postgres://u:p@h/d", MaxConns: 11}, c.Database)
	assert.Equal(t, config.Temporal{
		Address: "temporal.example:7000", Namespace: "interviews", TaskQueue: "queue", UIURL: "https://ui.example.com",
		APIKey: "temporal-key", TLS: true, CAFile: "/ca.pem", CertFile: "/cert.pem", KeyFile: "/key.pem",
		ServerName: "frontend",
	}, c.Temporal)
	assert.Equal(t, config.Worker{
		HTTPAddr: "127.0.0.1:82", JournalDir: "/journal", DeploymentName: "deployment", BuildID: "build",
	}, c.Worker)
	assert.Equal(t, strings.Repeat("\xcd", 33), string(c.Secret))
	assert.Equal(t, strings.Repeat("\xce", 33), string(c.SecretNext))
	assert.Equal(t, strings.Repeat("\xcf", 33), string(c.SecretPrevious))
	assert.Equal(t, keyset, c.Keyset)
	assert.Equal(t, config.Dispatch{
		PollInterval: 12 * time.Millisecond, BatchAbove: 13, MaxInFlightPerEndpoint: 14,
		MaxInFlightPerHost: 141, MaxInFlight: 142,
	}, c.Dispatch)
	assert.Equal(t, config.Circuit{
		Threshold: 15, Span: 15 * time.Second, Recovery: config.RecoverByProbe, Cooldown: 16 * time.Second,
		CooldownLimit: 18 * time.Second, ReleaseLimit: 17,
	}, c.Circuit)
	assert.Equal(t, config.Egress{
		AllowHTTP: true, AllowLoopback: true, AllowPrivate: true, ServicesCA: "/services.pem", CAFile: "/receivers.pem",
		ClientCert: "/client.pem", ClientKey: "/client-key.pem", ProxyURL: "http://u:p@proxy.example:3128",
	}, c.Egress)
	assert.Equal(t, config.Service{URL: "http://provider.example", Token: "provider-token"}, c.Provider)
	assert.Equal(t, config.Service{URL: "http://analysis.example", Token: "analysis-token"}, c.Analysis)
	assert.Equal(t, config.Service{URL: "http://generator.example", Token: "generator-token"}, c.Generator)
	assert.Equal(t, config.Service{URL: "http://sourcing.example", Token: "sourcing-token"}, c.Sourcing)
	assert.Equal(t, 36*time.Minute, c.SourcingTimeout)
	assert.Equal(t, config.Service{URL: "http://extractor.example", Token: "extractor-token"}, c.Extractor)
	assert.Equal(t, config.SMTP{URL: "smtps://u:p@mail.example:465", From: "Jobs <jobs@example.com>"}, c.SMTP)
	assert.Equal(t, config.Interview{
		InvitationDeadline: 18 * time.Hour, MaxDuration: 19 * time.Hour, AnalysisTimeout: 20 * time.Hour,
		NoAnswerDelay: 21 * time.Second,
	}, c.Interview)
	assert.Equal(t, config.RateLimit{
		PerMinute: 22, PerHour: 23, CompanyPerMinute: 32, CompanyPerHour: 33, PublicPerMinute: 27,
	}, c.RateLimit)
	assert.Equal(t, config.Quota{Webhooks: 28, EventTypes: 29, APIKeys: 30, MediaBytes: 31}, c.Quota)
	assert.Equal(t, config.Suite{SelfService: true}, c.Suite)
	assert.Equal(t, config.Staff{TokenMaxAge: 34 * time.Minute}, c.Staff)
	assert.Equal(t, config.Console{}, c.Console)
	assert.Equal(t, config.Retention{Days: 24, AuditDays: 35}, c.Retention)
	assert.Equal(t, config.Media{Dir: "/media", MaxBytes: 25, MinFree: 26, S3: config.S3{
		Endpoint: "http://s3.example", Bucket: "bucket", Region: "region", AccessKey: "access", SecretKey: "s3-secret",
	}}, c.Media)
	assert.Equal(t, config.Log{Level: slog.LevelWarn, Format: config.LogJSON}, c.Log)
	assert.Equal(t, config.Tracing{
		Endpoint: "http://collector.example:4318", SampleRatio: 0.25, Propagate: true,
	}, c.Tracing)
	assert.Equal(t, config.Pprof{Addr: "127.0.0.1:83"}, c.Pprof)
	assert.Equal(t, config.Dev{Dir: "/dev-data", PostgresPort: 84, TemporalPort: 85, TemporalUIPort: 86}, c.Dev)
}

func TestReplaced(t *testing.T) {
	c, err := config.Load(nil)
	require.NoError(t, err)
	before := c
	c.Replaced("keyset", "secret", "greenroom dev")
	c.Replaced("egress.allow_http", "true", "greenroom dev")
	shown := map[string]config.Effective{}
	for _, s := range c.Effective() {
		shown[s.Name] = s
	}
	require.Len(t, shown, len(config.Describe()))
	require.Equal(t, config.Origin("greenroom dev"), shown["keyset"].Origin)
	require.NotContains(t, shown["keyset"].Value, "secret")
	require.Equal(t, "true", shown["egress.allow_http"].Value)
	require.Equal(t, config.FromDefault, shown["http.addr"].Origin)
	require.NotEqual(t, before.Effective(), c.Effective(), "a copy stays as it is")
}

func TestLoad_egress_settings_are_independent(t *testing.T) {
	for name, want := range map[string]config.Egress{
		"egress.allow_http":     {AllowHTTP: true},
		"egress.allow_loopback": {AllowLoopback: true},
		"egress.allow_private":  {AllowPrivate: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(variable(name), "true")
			c, err := config.Load(nil)
			require.NoError(t, err)
			assert.Equal(t, want, c.Egress)
		})
	}
}

func TestLoad_bounds_of_numbers(t *testing.T) {
	for name, bounds := range map[string][2]int{
		"database.max_conns":                  {3, 10_000},
		"dispatch.batch_above":                {0, 1_000_000},
		"dispatch.max_in_flight_per_endpoint": {1, 10_000},
		"dispatch.max_in_flight_per_host":     {1, 100_000},
		"dispatch.max_in_flight":              {1, 100_000},
		"circuit.threshold":                   {6, 19},
		"circuit.release_limit":               {1, 100_000},
		"interview.no_answer_retries":         {0, 100},
		"ratelimit.per_minute":                {1, 100_000_000},
		"ratelimit.per_hour":                  {1, 1_000_000_000},
		"ratelimit.company_per_minute":        {1, 100_000_000},
		"ratelimit.company_per_hour":          {1, 1_000_000_000},
		"retention.audit_days":                {1, 36_500},
		"retention.days":                      {1, 3650},
		"media.max_bytes":                     {1, 64 << 30},
		"media.min_free":                      {0, 1 << 50},
		"http.max_conns":                      {10, 1_000_000},
		"ratelimit.public_per_minute":         {1, 100_000_000},
		"quota.webhooks":                      {1, 1_000_000},
		"quota.event_types":                   {1, 1_000_000},
		"quota.api_keys":                      {1, 1_000_000},
		"quota.media_bytes":                   {1, 1 << 50},
		"dev.postgres_port":                   {1, 65535},
		"dev.temporal_port":                   {1, 65535},
		"dev.temporal_ui_port":                {1, 65535},
	} {
		t.Run(name, func(t *testing.T) {
			least, most := bounds[0], bounds[1]
			for _, inside := range bounds {
				t.Setenv(variable(name), strconv.Itoa(inside))
				_, err := config.Load(nil)
				require.NoError(t, err, inside)
			}
			for _, outside := range []string{strconv.Itoa(least - 1), strconv.Itoa(most + 1), "1.5", "1e3", " 7"} {
				t.Setenv(variable(name), outside)
				_, err := config.Load(nil)
				require.EqualError(t, err, name+" ("+variable(name)+") must be a whole number from "+
					strconv.Itoa(least)+" to "+strconv.Itoa(most)+", not "+strconv.Quote(outside))
			}
		})
	}
}

func TestLoad_shortest_durations(t *testing.T) {
	for name, least := range map[string]time.Duration{
		"dispatch.poll_interval":        10 * time.Millisecond,
		"circuit.span":                  0,
		"circuit.cooldown":              time.Second,
		"circuit.cooldown_limit":        time.Second,
		"circuit.disable_after":         0,
		"interview.invitation_deadline": time.Second,
		"notify.window":                 time.Second,
		"interview.max_duration":        time.Second,
		"interview.analysis_timeout":    time.Second,
		"interview.no_answer_delay":     time.Second,
		"sourcing.timeout":              time.Second,
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(variable(name), least.String())
			_, err := config.Load(nil)
			require.NoError(t, err)
			for _, bad := range []string{(least - 1).String(), "-1h", "7d", "soon"} {
				t.Setenv(variable(name), bad)
				_, err := config.Load(nil)
				require.EqualError(t, err, name+" ("+variable(name)+") must be a duration such as 500ms, 10s, 5m or 168h, "+
					"at least "+least.String()+", not "+strconv.Quote(bad))
			}
		})
	}
}

func TestLoad_refuses_more_forms(t *testing.T) {
	const address, mailServer = "must be an http or https address", "must be a mail server's address"
	for _, tt := range []struct{ name, value, fault string }{
		{"http.public_url", "https://", address},
		{"temporal.ui_url", "ui.example.com", address},
		{"provider.url", "provider.example:80", address},
		{"analysis.url", "/analysis", address},
		{"generator.url", "ftp://generator.example", address},
		{"http.addr", "localhost:http", "must be host:port"},
		{"worker.http_addr", "9091", "must be host:port"},
		{"temporal.address", "temporal.example", "must be host:port"},
		{"pprof.addr", "127.0.0.1:-1", "must be host:port"},
		{"tracing.endpoint", "collector.example:4318", address},
		{"tracing.sample_ratio", "1.01", "must be a number from 0 to 1"},
		{"tracing.sample_ratio", "-0.1", "must be a number from 0 to 1"},
		{"tracing.sample_ratio", "NaN", "must be a number from 0 to 1"},
		{"tracing.sample_ratio", "10%", "must be a number from 0 to 1"},
		{"database.url", "postgres://", "must be a PostgreSQL address"},
		{"smtp.url", "smtp://:587", mailServer},
		{"smtp.url", "smtp://mail.example/inbox", mailServer},
		{"smtp.url", "smtp://mail.example?tls=no", mailServer},
		{"egress.proxy_url", "https://proxy.example:3128", "must be an HTTP proxy's address"},
		{"egress.proxy_url", "http://proxy.example", "must be an HTTP proxy's address"},
		{"egress.proxy_url", "http://proxy.example:3128/path", "must be an HTTP proxy's address"},
		{"egress.proxy_url", "proxy.example:3128", "must be an HTTP proxy's address"},
		{"worker.deployment_name", "__temporal", `must not contain "." or ":" nor begin with "__"`},
		{"worker.deployment_name", "a:b", `must not contain "." or ":" nor begin with "__"`},
		{"http.trusted_proxies", "10.0.0.0/33", "must be addresses or ranges"},
		{"http.trusted_proxies", "10.0.0.1,", "must be addresses or ranges"},
		{"secret", strings.Repeat("zz", 32), "must be at least 32 bytes in hexadecimal"},
		{"keyset", `{"primaryKeyId":7,"key":[]}`, "must be a Tink keyset"},
		{"keyset", `{"key":[{}]}`, "must be a Tink keyset"},
		{"keyset", `not JSON`, "must be a Tink keyset"},
	} {
		t.Run(tt.name+"="+tt.value, func(t *testing.T) {
			t.Setenv(variable(tt.name), tt.value)
			_, err := config.Load(nil)
			require.ErrorContains(t, err, tt.name+" ("+variable(tt.name)+") "+tt.fault)
		})
	}
}

func TestLoad_secrets_of_a_rotation_differ(t *testing.T) {
	one, other := strings.Repeat("ab", 32), strings.Repeat("cd", 32)
	for _, names := range [][2]string{
		{"secret", "secret_next"}, {"secret", "secret_previous"}, {"secret_next", "secret_previous"},
	} {
		t.Run(names[0]+"="+names[1], func(t *testing.T) {
			t.Setenv(variable(names[0]), one)
			t.Setenv(variable(names[1]), one)
			_, err := config.Load(nil)
			require.EqualError(t, err, "secret, secret_next and secret_previous must differ")
			t.Setenv(variable(names[1]), other)
			_, err = config.Load(nil)
			require.NoError(t, err)
		})
	}
}

func TestLoad_never_repeats_the_value_of_a_secret(t *testing.T) {
	for name, bad := range map[string]string{
		"database.url": "mysql://root:correct-horse@db",
		"secret":       "correct-horse",
		"secret_next":  "correct-horse",
		"keyset":       `{"correct-horse":1}`,
		"smtp.url":     "http://jobs:correct-horse@mail",

		"egress.proxy_url": "socks5://egress:correct-horse@proxy:1080",
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(variable(name), bad)
			_, err := config.Load(nil)
			require.ErrorContains(t, err, name)
			assert.NotContains(t, err.Error(), "horse")
		})
	}
	t.Run("a_list_in_the_file", func(t *testing.T) {
		t.Setenv("GREENROOM_CONFIG", write(t, "provider:\n  token: [correct-horse, battery]\n"))
		_, err := config.Load(nil)
		require.EqualError(t, err, "provider.token (GREENROOM_PROVIDER_TOKEN) must be a single value")
	})
}

func TestLoad_derives_the_public_url_from_the_address(t *testing.T) {
	for addr, want := range map[string]string{
		"0.0.0.0:8080":        "http://localhost:8080",
		"[::]:8080":           "http://localhost:8080",
		"[::1]:8080":          "http://[::1]:8080",
		"192.0.2.7:80":        "http://192.0.2.7:80",
		"greenroom.test:8080": "http://greenroom.test:8080",
	} {
		t.Run(addr, func(t *testing.T) {
			t.Setenv("GREENROOM_HTTP_ADDR", addr)
			c, err := config.Load(nil)
			require.NoError(t, err)
			assert.Equal(t, want, c.HTTP.PublicURL)
			assert.False(t, c.Explicit("http.public_url"))
		})
	}
}

func TestLoad_an_empty_variable_is_not_set(t *testing.T) {
	t.Setenv("GREENROOM_CONFIG", write(t, "retention:\n  days: 5\n"))
	t.Setenv("GREENROOM_RETENTION_DAYS", "")
	t.Setenv("GREENROOM_HTTP_ADDR", "")

	c, err := config.Load(nil)

	require.NoError(t, err)
	assert.Equal(t, 5, c.Retention.Days, "the file's value stays")
	assert.Equal(t, "127.0.0.1:8080", c.HTTP.Addr)
	assert.False(t, c.Explicit("http.addr"))
}

// Otherwise an empty value would bypass the checks: a threshold of 0, or an API on a random port.
func TestLoad_an_empty_value_selects_the_default(t *testing.T) {
	t.Setenv("GREENROOM_CONFIG", write(t, "circuit:\n  threshold: ''\ntemporal:\n  address: ''\nkeyset: ''\n"))
	t.Setenv("GREENROOM_KEYSET_FILE", write(t, keyset))
	flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
	config.AddFlags(flags, "http.addr")
	require.NoError(t, flags.Parse([]string{"--http-addr", ""}))

	c, err := config.Load(flags)

	require.NoError(t, err, "an empty keyset does not exclude keyset_file")
	assert.Equal(t, 10, c.Circuit.Threshold)
	assert.Equal(t, "127.0.0.1:7233", c.Temporal.Address)
	assert.Equal(t, "127.0.0.1:8080", c.HTTP.Addr)
	assert.False(t, c.Explicit("temporal.address"))
}

func TestLoad_a_flag_that_repeats_the_default_overrides_the_environment(t *testing.T) {
	t.Setenv("GREENROOM_DEV_DIR", "/elsewhere")
	flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
	config.AddFlags(flags, "dev.dir")
	require.NoError(t, flags.Parse([]string{"--dev-dir", ".data"}))

	c, err := config.Load(flags)

	require.NoError(t, err)
	assert.Equal(t, ".data", c.Dev.Dir)
	assert.True(t, c.Explicit("dev.dir"))
}

func TestLoad_refuses_a_file_that_is_not_yaml(t *testing.T) {
	path := write(t, "http: [\n")
	t.Setenv("GREENROOM_CONFIG", path)
	_, err := config.Load(nil)
	require.ErrorContains(t, err, "read the settings in "+path+": ")
}

func TestLoad_lists_unknown_keys_in_order(t *testing.T) {
	t.Setenv("GREENROOM_CONFIG", write(t, "zebra: 1\nhttp:\n  port: 1\nalpha: 2\n"))
	_, err := config.Load(nil)
	require.EqualError(t, err, strings.Join([]string{
		"alpha is not a setting: see greenroom help settings",
		"http.port is not a setting: see greenroom help settings",
		"zebra is not a setting: see greenroom help settings",
	}, "\n"))
}

func TestLoad_refuses_an_unusable_keyset_file(t *testing.T) {
	t.Run("missing", func(t *testing.T) {
		t.Setenv("GREENROOM_KEYSET_FILE", filepath.Join(t.TempDir(), "none"))
		_, err := config.Load(nil)
		require.ErrorIs(t, err, os.ErrNotExist)
		require.ErrorContains(t, err, "keyset_file (GREENROOM_KEYSET_FILE) cannot be read: ")
	})
	t.Run("without_keys", func(t *testing.T) {
		t.Setenv("GREENROOM_KEYSET_FILE", write(t, `{"correct-horse":1}`))
		c, err := config.Load(nil)
		require.EqualError(t, err,
			"keyset_file (GREENROOM_KEYSET_FILE) must be a Tink keyset in JSON, with primaryKeyId and key")
		assert.Empty(t, c.Keyset)
	})
}

func TestLoad_refuses_an_incomplete_bucket(t *testing.T) {
	all := map[string]string{
		"GREENROOM_MEDIA_S3_ENDPOINT": "https://s3.example.com", "GREENROOM_MEDIA_S3_BUCKET": "videos",
		"GREENROOM_MEDIA_S3_ACCESS_KEY": "key", "GREENROOM_MEDIA_S3_SECRET_KEY": "hidden",
	}
	for missing := range all {
		t.Run("without_"+missing, func(t *testing.T) {
			for name, value := range all {
				if name != missing {
					t.Setenv(name, value)
				}
			}
			_, err := config.Load(nil)
			require.EqualError(t, err, "media.s3_endpoint, media.s3_bucket, media.s3_access_key and media.s3_secret_key "+
				"go together: set all of them or none")
		})
	}
}

func TestLoad_refuses_a_client_certificate_without_its_key(t *testing.T) {
	for _, name := range []string{"GREENROOM_EGRESS_CLIENT_CERT_FILE", "GREENROOM_EGRESS_CLIENT_KEY_FILE"} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(name, "/client.pem")
			_, err := config.Load(nil)
			require.EqualError(t, err, "egress.client_cert_file and egress.client_key_file go together: set both or none")
		})
	}
}

func TestWithSecrets(t *testing.T) {
	t.Parallel()
	generated := strings.Repeat("ab", 32)
	t.Run("keeps_what_is_set", func(t *testing.T) {
		t.Parallel()
		c, err := config.Config{Secret: "own", Keyset: "own keyset"}.WithSecrets(generated, keyset)
		require.NoError(t, err)
		assert.Equal(t, config.Key("own"), c.Secret)
		assert.Equal(t, "own keyset", c.Keyset)
	})
	t.Run("adds_only_what_is_missing", func(t *testing.T) {
		t.Parallel()
		c, err := config.Config{Keyset: "own keyset"}.WithSecrets(generated, "not read")
		require.NoError(t, err)
		assert.Equal(t, strings.Repeat("\xab", 32), string(c.Secret))
		assert.Equal(t, "own keyset", c.Keyset)
	})
	t.Run("reports_both_faults", func(t *testing.T) {
		t.Parallel()
		_, err := config.Config{}.WithSecrets("short", "{}")
		require.ErrorContains(t, err, "hexadecimal")
		require.ErrorContains(t, err, "Tink keyset")
	})
}

func TestNetworks_without_any(t *testing.T) {
	t.Parallel()
	assert.Empty(t, config.Networks("").List(), "an empty item would be refused as a proxy's address")
}

func variable(name string) string {
	return "GREENROOM_" + strings.ToUpper(strings.ReplaceAll(name, ".", "_"))
}

// asYAML writes settings as a file with one level of sections. Values are quoted, so that YAML does not change them.
func asYAML(values map[string]string) string {
	sections := map[string][]string{}
	var top []string
	for name, value := range values {
		section, key, nested := strings.Cut(name, ".")
		quoted := "'" + value + "'"
		if !nested {
			top = append(top, name+": "+quoted+"\n")
			continue
		}
		sections[section] = append(sections[section], "  "+key+": "+quoted+"\n")
	}
	for section, lines := range sections {
		top = append(top, section+":\n"+strings.Join(lines, ""))
	}
	return strings.Join(top, "")
}
