package config

import (
	"log/slog"
	"strings"
	"time"
)

// Setting describes a setting.
type Setting struct {
	Name    string // in the file
	Env     string // of the environment variable
	Default string
	Meaning string
}

// setting is a Setting with its parser.
type setting struct {
	Setting
	hidden bool // a secret: errors do not contain it
	set    func(c *Config, text string) error
	empty  func(c *Config) bool
}

// define returns an entry of the table. parse's error completes a sentence that starts with the setting's name.
func define[T comparable](name, def, meaning string, field func(*Config) *T, parse func(string) (T, error)) setting {
	return setting{
		Setting: Setting{Name: name, Env: envName(name), Default: def, Meaning: meaning},
		set: func(c *Config, text string) (err error) {
			*field(c), err = parse(text)
			return err
		},
		empty: func(c *Config) bool {
			var zero T
			return *field(c) == zero
		},
	}
}

func (s setting) secret() setting {
	s.hidden = true
	return s
}

func envName(name string) string {
	return "GREENROOM_" + strings.ToUpper(strings.ReplaceAll(name, ".", "_"))
}

var settings = []setting{
	define("http.addr", "127.0.0.1:8080", "address the API listens on",
		func(c *Config) *string { return &c.HTTP.Addr }, hostPort),
	define("http.public_url", "", "URL under which clients reach the API; default http://<http.addr>",
		func(c *Config) *string { return &c.HTTP.PublicURL }, webURL),
	define("http.metrics_addr", "", "address of the API's /metrics, such as 127.0.0.1:9090; empty: http.addr",
		func(c *Config) *string { return &c.HTTP.MetricsAddr }, hostPort),
	define("http.max_conns", "2000", "open connections of each API process; at the limit, the one idle longest is closed",
		func(c *Config) *int { return &c.HTTP.MaxConns }, whole(10, 1_000_000)),
	define("http.drain_delay", "0s", "how long the API serves on after SIGTERM while /readyz answers 503, so that load "+
		"balancers send new requests elsewhere",
		func(c *Config) *time.Duration { return &c.HTTP.DrainDelay }, duration(0)),
	define(
		"http.trusted_proxies",
		"",
		"addresses and ranges of proxies, separated by commas, whose X-Forwarded-For is trusted; no other header is",
		func(c *Config) *Networks { return &c.HTTP.TrustedProxies },
		networks,
	),
	define("database.url", "", "URL of PostgreSQL: postgres://user:password@host:port/database",
		func(c *Config) *string { return &c.Database.URL }, postgresURL).secret(),
	// A worker's dispatcher uses three at once: it listens, and takes tokens of rate limits while it takes deliveries.
	define("database.max_conns", "40", "maximum connections of each process to PostgreSQL",
		func(c *Config) *int { return &c.Database.MaxConns }, whole(3, 10_000)),
	define("temporal.address", "127.0.0.1:7233", "address of Temporal's frontend; default TEMPORAL_ADDRESS if set "+
		"(TEMPORAL_* also configure TLS and an API key, where the settings below do not)",
		func(c *Config) *string { return &c.Temporal.Address }, hostPort),
	define("temporal.namespace", "default", "Temporal namespace of the workflows; default TEMPORAL_NAMESPACE if set",
		func(c *Config) *string { return &c.Temporal.Namespace }, plain),
	define("temporal.task_queue", "greenroom", "Temporal task queue; the queue for slow endpoints is named after it",
		func(c *Config) *string { return &c.Temporal.TaskQueue }, plain),
	define("temporal.api_key", "", "API key for Temporal; turns TLS on",
		func(c *Config) *string { return &c.Temporal.APIKey }, plain).secret(),
	define("temporal.tls", "false", "connect to Temporal with TLS",
		func(c *Config) *bool { return &c.Temporal.TLS }, boolean),
	define("temporal.tls_ca_file", "", "PEM file of the certificate authorities of Temporal; empty: the system's",
		func(c *Config) *string { return &c.Temporal.CAFile }, plain),
	define("temporal.tls_cert_file", "", "PEM file of the client certificate for Temporal",
		func(c *Config) *string { return &c.Temporal.CertFile }, plain),
	define("temporal.tls_key_file", "", "PEM file of the key of temporal.tls_cert_file",
		func(c *Config) *string { return &c.Temporal.KeyFile }, plain),
	define("temporal.tls_server_name", "", "name in Temporal's certificate, if it is not that of temporal.address",
		func(c *Config) *string { return &c.Temporal.ServerName }, plain),
	define("temporal.ui_url", "", "Temporal's web UI, for links to workflows",
		func(c *Config) *string { return &c.Temporal.UIURL }, webURL),
	define(
		"worker.http_addr",
		"",
		"address of a worker's /healthz, /readyz and /metrics, such as 127.0.0.1:9091; empty: none",
		func(c *Config) *string { return &c.Worker.HTTPAddr },
		hostPort,
	),
	define(
		"worker.journal_dir",
		"",
		"directory in which workers keep what they sent and have not recorded, so that a kill repeats at most two requests "+
			"to quick receivers; empty: none",
		func(c *Config) *string { return &c.Worker.JournalDir },
		plain,
	),
	define(
		"worker.deployment_name",
		"",
		"worker deployment in Temporal, for versioned workers; empty: workers are not versioned",
		func(c *Config) *string { return &c.Worker.DeploymentName },
		deploymentName,
	),
	define("worker.build_id", "", "version of a worker in its deployment; default the program's version",
		func(c *Config) *string { return &c.Worker.BuildID }, plain),
	define("secret", "", "at least 32 random bytes in hexadecimal; HMAC key for hashes of API keys and call-back tokens",
		func(c *Config) *Key { return &c.Secret }, hexKey).secret(),
	define("secret_next", "", "value of secret in the next step of its rotation; accepted, not used yet",
		func(c *Config) *Key { return &c.SecretNext }, hexKey).secret(),
	define("secret_previous", "", "value of secret before its rotation; accepted until it is dropped",
		func(c *Config) *Key { return &c.SecretPrevious }, hexKey).secret(),
	define("keyset", "", "Tink AEAD keyset in JSON; encrypts signing secrets and masked headers",
		func(c *Config) *string { return &c.Keyset }, keysetJSON).secret(),
	define("keyset_file", "", "file with the keyset, instead of keyset",
		func(c *Config) *string { return &c.keysetFile }, plain),
	define("dispatch.poll_interval", "1s", "how often to poll for work without a notification",
		func(c *Config) *time.Duration { return &c.Dispatch.PollInterval }, duration(10*time.Millisecond)),
	define(
		"dispatch.batch_above",
		"20",
		"deliveries per second, and waiting deliveries, from which first attempts share a workflow; 0: never",
		func(c *Config) *int { return &c.Dispatch.BatchAbove },
		whole(0, 1_000_000),
	),
	define(
		"dispatch.max_in_flight_per_endpoint",
		"64",
		"most concurrent attempts of all workers to one endpoint; below it the number adapts to the endpoint's answers",
		func(c *Config) *int { return &c.Dispatch.MaxInFlightPerEndpoint },
		whole(1, 10_000),
	),
	define(
		"dispatch.max_in_flight_per_host",
		"256",
		"most concurrent attempts of all workers to all webhooks of one host and port; one company gets three quarters",
		func(c *Config) *int { return &c.Dispatch.MaxInFlightPerHost },
		whole(1, 100_000),
	),
	define(
		"dispatch.max_in_flight",
		"1000",
		"most concurrent attempts of a worker; one company gets three quarters",
		func(c *Config) *int { return &c.Dispatch.MaxInFlight },
		whole(1, 100_000),
	),
	define("circuit.threshold", "10", "consecutive failed attempts that open a webhook's circuit, 6 to 19",
		func(c *Config) *int { return &c.Circuit.Threshold }, whole(6, 19)),
	define("circuit.span", "5s", "time since the first of these attempts, before which they do not open the circuit",
		func(c *Config) *time.Duration { return &c.Circuit.Span }, duration(0)),
	define("circuit.recovery", string(RecoverByProfile),
		"what closes an open circuit: manual, a reset; probe, also a successful delivery after circuit.cooldown; "+
			"profile, probe for all profiles but instaview",
		func(c *Config) *Recovery { return &c.Circuit.Recovery },
		oneOf(RecoverManually, RecoverByProbe, RecoverByProfile)),
	define("circuit.cooldown", "30s", "wait before the first probe of an open circuit; each failed probe doubles it",
		func(c *Config) *time.Duration { return &c.Circuit.Cooldown }, duration(time.Second)),
	define("circuit.cooldown_limit", "15m", "longest wait before a probe",
		func(c *Config) *time.Duration { return &c.Circuit.CooldownLimit }, duration(time.Second)),
	define(
		"circuit.disable_after",
		"120h",
		"time after which a webhook with an open circuit is disabled; 0s: never",
		func(c *Config) *time.Duration { return &c.Circuit.DisableAfter },
		duration(0),
	),
	define("circuit.release_limit", "100", "deliveries per second at the end of the ramp after a reset",
		func(c *Config) *int { return &c.Circuit.ReleaseLimit }, whole(1, 100_000)),
	define("egress.allow_http", "false", "allow http URLs of webhooks and notifications",
		func(c *Config) *bool { return &c.Egress.AllowHTTP }, boolean),
	define("egress.allow_loopback", "false", "allow them at loopback addresses",
		func(c *Config) *bool { return &c.Egress.AllowLoopback }, boolean),
	define("egress.allow_private", "false", "allow them in private networks",
		func(c *Config) *bool { return &c.Egress.AllowPrivate }, boolean),
	define("egress.ca_file", "", "PEM file of certificate authorities to trust for them beside the system's",
		func(c *Config) *string { return &c.Egress.CAFile }, plain),
	define("egress.client_cert_file", "",
		"PEM file of the client certificate for receivers that ask for one; a renewed file is used without a restart",
		func(c *Config) *string { return &c.Egress.ClientCert }, plain),
	define("egress.client_key_file", "", "PEM file of the key of egress.client_cert_file",
		func(c *Config) *string { return &c.Egress.ClientKey }, plain),
	define(
		"egress.proxy_url",
		"",
		"HTTP proxy (CONNECT) for them: http://user:password@host:port; it is sent checked addresses, no host names",
		func(c *Config) *string { return &c.Egress.ProxyURL },
		proxyURL,
	).secret(),
	define(
		"egress.services_ca_file",
		"",
		"PEM file of authorities, beside the system's, for provider, analysis, generator, sourcing, extractor, smtp and "+
			"media.s3_endpoint",
		func(c *Config) *string { return &c.Egress.ServicesCA },
		plain,
	),
	define("provider.url", "", "service that places phone calls",
		func(c *Config) *string { return &c.Provider.URL }, webURL),
	define("provider.token", "", "bearer token for provider.url",
		func(c *Config) *string { return &c.Provider.Token }, plain).secret(),
	define("analysis.url", "", "service that analyses finished interviews; empty: results are posted to the API",
		func(c *Config) *string { return &c.Analysis.URL }, webURL),
	define("analysis.token", "", "bearer token for analysis.url",
		func(c *Config) *string { return &c.Analysis.Token }, plain).secret(),
	define("generator.url", "", "service that writes the questions of an AI interview from a role and its description",
		func(c *Config) *string { return &c.Generator.URL }, webURL),
	define("generator.token", "", "bearer token for generator.url",
		func(c *Config) *string { return &c.Generator.Token }, plain).secret(),
	define("sourcing.url", "", "service that finds candidates and enriches their profiles; empty: /sourcing answers 503",
		func(c *Config) *string { return &c.Sourcing.URL }, webURL),
	define("sourcing.token", "", "bearer token for sourcing.url",
		func(c *Config) *string { return &c.Sourcing.Token }, plain).secret(),
	define("sourcing.timeout", "15m", "maximum time of a sourcing or an enrichment, then it fails",
		func(c *Config) *time.Duration { return &c.SourcingTimeout }, duration(time.Second)),
	define(
		"extractor.url",
		"",
		"service that reads a job out of the page of its posting; empty: POST /jobs/url answers 503",
		func(c *Config) *string { return &c.Extractor.URL },
		webURL,
	),
	define("extractor.token", "", "bearer token for extractor.url",
		func(c *Config) *string { return &c.Extractor.Token }, plain).secret(),
	define(
		"smtp.url",
		"",
		"mail server for invitations and about webhooks: smtp://user:password@host:587 or smtps://host:465; empty: no mail",
		func(c *Config) *string { return &c.SMTP.URL },
		smtpURL,
	).secret(),
	define("smtp.from", "", "sender of the mail, such as Recruiting <jobs@example.com>; required with smtp.url",
		func(c *Config) *string { return &c.SMTP.From }, mailAddress),
	define("notify.window", "5m",
		"time in which changes of webhooks become one letter to the notifyEmail of a company or webhook; the first goes soon",
		func(c *Config) *time.Duration { return &c.Notify.Window }, duration(time.Second)),
	define("interview.invitation_deadline", "168h", "time a candidate has to start an interview",
		func(c *Config) *time.Duration { return &c.Interview.InvitationDeadline }, duration(time.Second)),
	define("interview.max_duration", "2h", "maximum time from start to end of an interview, then it fails",
		func(c *Config) *time.Duration { return &c.Interview.MaxDuration }, duration(time.Second)),
	define("interview.analysis_timeout", "1h", "maximum time of an analysis, then it fails",
		func(c *Config) *time.Duration { return &c.Interview.AnalysisTimeout }, duration(time.Second)),
	define("interview.no_answer_retries", "2", "further calls if a candidate does not answer",
		func(c *Config) *int { return &c.Interview.NoAnswerRetries }, whole(0, 100)),
	define("interview.no_answer_delay", "5m", "wait before each further call",
		func(c *Config) *time.Duration { return &c.Interview.NoAnswerDelay }, duration(time.Second)),
	define("ratelimit.per_minute", "60", "requests per minute of an API key without its own limit",
		func(c *Config) *int { return &c.RateLimit.PerMinute }, whole(1, 100_000_000)),
	define("ratelimit.per_hour", "2000", "requests per hour of an API key without its own limit",
		func(c *Config) *int { return &c.RateLimit.PerHour }, whole(1, 1_000_000_000)),
	define("ratelimit.public_per_minute", "300",
		"requests per minute of one network (an IPv4 address or an IPv6 /64) to shared reports and invitations",
		func(c *Config) *int { return &c.RateLimit.PublicPerMinute }, whole(1, 100_000_000)),
	define("quota.webhooks", "1000", "webhooks of a company",
		func(c *Config) *int { return &c.Quota.Webhooks }, whole(1, 1_000_000)),
	define("quota.event_types", "500", "event types of a company",
		func(c *Config) *int { return &c.Quota.EventTypes }, whole(1, 1_000_000)),
	define("quota.api_keys", "1000", "API keys of a company that are neither revoked nor expired, without staff tokens",
		func(c *Config) *int { return &c.Quota.APIKeys }, whole(1, 1_000_000)),
	define("quota.media_bytes", "107374182400", "total size of the uploaded files of a company in bytes",
		func(c *Config) *int { return &c.Quota.MediaBytes }, whole(1, 1<<50)),
	define("ratelimit.company_per_minute", "600",
		"requests per minute of all keys and tokens of a company; keys with a higher limit of their own are exempt",
		func(c *Config) *int { return &c.RateLimit.CompanyPerMinute }, whole(1, 100_000_000)),
	define("ratelimit.company_per_hour", "20000",
		"requests per hour of all keys and tokens of a company; keys with a higher limit of their own are exempt",
		func(c *Config) *int { return &c.RateLimit.CompanyPerHour }, whole(1, 1_000_000_000)),
	define("interview_suite.self_service", "false", "let a company's keys register webhooks of the profile "+
		"interview-suite, which by its contract the operator registers; greenroom dev lets them",
		func(c *Config) *bool { return &c.Suite.SelfService }, boolean),
	define("staff.token_max_age", "2160h",
		"time after which the token of a staff user expires although it is used; permanent tokens do not",
		func(c *Config) *time.Duration { return &c.Staff.TokenMaxAge }, duration(time.Minute)),
	define(
		"console.enabled",
		"true",
		"whether API processes serve the operator's pages (/console) and links to the portal",
		func(c *Config) *bool { return &c.Console.Enabled },
		boolean,
	),
	define("console.oidc_issuer", "",
		"OpenID Connect provider that people sign in with to the console, such as https://login.example.com/realms/acme",
		func(c *Config) *string { return &c.Console.OIDCIssuer }, issuerURL),
	define(
		"console.oidc_client_id",
		"",
		"id of the console at that provider; its redirect URL is <http.public_url>/console/oidc/callback",
		func(c *Config) *string { return &c.Console.OIDCClientID },
		plain,
	),
	define("console.oidc_client_secret", "", "secret of the console at that provider; empty for a public client",
		func(c *Config) *string { return &c.Console.OIDCClientSecret }, plain).secret(),
	define("console.oidc_access", "",
		"who may sign in, and the id of the API key whose rights they get: "+
			"ann@example.com=KEY, @example.com=KEY, group:support=KEY",
		func(c *Config) *string { return &c.Console.OIDCAccess }, plain),
	define("retention.audit_days", "400", "days that entries of the audit log are kept",
		func(c *Config) *int { return &c.Retention.AuditDays }, whole(1, 36_500)),
	define("retention.days", "30", "days that events, deliveries, attempts and sourced profiles are kept",
		func(c *Config) *int { return &c.Retention.Days }, whole(1, 3650)),
	define("media.dir", "/var/lib/greenroom/media",
		"directory of uploaded files, shared by all API processes; with greenroom dev <dev.dir>/media",
		func(c *Config) *string { return &c.Media.Dir }, plain),
	define(
		"media.max_bytes",
		"536870912",
		"maximum size of an uploaded file in bytes; photos and CVs have smaller limits",
		func(c *Config) *int { return &c.Media.MaxBytes },
		whole(1, 64<<30),
	),
	define("media.min_free", "1073741824", "bytes of the file system of media.dir that uploads leave free",
		func(c *Config) *int { return &c.Media.MinFree }, whole(0, 1<<50)),
	define(
		"media.s3_endpoint",
		"",
		"S3 service for uploaded files, such as https://host:port, instead of media.dir",
		func(c *Config) *string { return &c.Media.S3.Endpoint },
		webURL,
	),
	define("media.s3_bucket", "", "bucket of files at media.s3_endpoint; it must exist",
		func(c *Config) *string { return &c.Media.S3.Bucket }, plain),
	define("media.s3_region", "us-east-1", "region of media.s3_bucket",
		func(c *Config) *string { return &c.Media.S3.Region }, plain),
	define("media.s3_access_key", "", "access key for media.s3_bucket",
		func(c *Config) *string { return &c.Media.S3.AccessKey }, plain),
	define("media.s3_secret_key", "", "secret key of media.s3_access_key",
		func(c *Config) *string { return &c.Media.S3.SecretKey }, plain).secret(),
	define("log.level", "info", "lowest logged level: debug, info, warn, error",
		func(c *Config) *slog.Level { return &c.Log.Level }, level),
	define("log.format", string(LogText), "text or json",
		func(c *Config) *LogFormat { return &c.Log.Format }, oneOf(LogText, LogJSON)),
	define("tracing.endpoint", "", "URL of an OpenTelemetry collector (OTLP over HTTP) for traces, such as "+
		"http://127.0.0.1:4318; empty: no traces, unless OTEL_EXPORTER_OTLP_ENDPOINT or …_TRACES_ENDPOINT is set",
		func(c *Config) *string { return &c.Tracing.Endpoint }, webURL),
	define(
		"tracing.sample_ratio",
		"1",
		"share of requests to the API that are traced, from 0 to 1; what a request causes "+
			"is traced with it",
		func(c *Config) *float64 { return &c.Tracing.SampleRatio },
		ratio,
	),
	define("tracing.propagate", "false", "whether receivers get the trace context of traced deliveries (traceparent)",
		func(c *Config) *bool { return &c.Tracing.Propagate }, boolean),
	define("pprof.addr", "", "address of Go's profiling endpoints, for developers; must not be public",
		func(c *Config) *string { return &c.Pprof.Addr }, hostPort),
	define("dev.dir", ".data", "directory of all data of greenroom dev",
		func(c *Config) *string { return &c.Dev.Dir }, plain),
	define("dev.postgres_port", "54329", "port of PostgreSQL with greenroom dev",
		func(c *Config) *int { return &c.Dev.PostgresPort }, port),
	define("dev.temporal_port", "7233", "port of Temporal with greenroom dev",
		func(c *Config) *int { return &c.Dev.TemporalPort }, port),
	define("dev.temporal_ui_port", "8233", "port of Temporal's web UI with greenroom dev",
		func(c *Config) *int { return &c.Dev.TemporalUIPort }, port),
}

// Describe returns every setting in the order of the documentation.
func Describe() []Setting {
	list := make([]Setting, len(settings))
	for i, s := range settings {
		list[i] = s.Setting
	}
	return list
}
