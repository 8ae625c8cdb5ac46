// Package config reads settings from the environment, an optional YAML file and command-line flags and returns one
// checked value. It is the only package that uses viper: other packages get plain structs, so they do not read settings
// at run time. Every setting is an entry of one table (settings.go) with its name, default, meaning and parser. The
// environment variable, the flag, the check, the error and the documentation are derived from it. A flag takes
// precedence over the environment, the environment over the file, the file over the default.
package config

import (
	"log/slog"
	"strings"
	"time"
)

// Config has the settings of all sub-commands, checked by Load. Durations are positive, numbers are within the
// documented bounds, addresses and URLs are valid.
type Config struct {
	HTTP     HTTP
	Database Database
	Temporal Temporal
	Worker   Worker
	Secret   Key // HMAC key for hashes of API keys and call-back tokens
	// SecretNext and SecretPrevious are accepted beside Secret, while it is rotated.
	SecretNext, SecretPrevious Key
	Keyset                     string // Tink AEAD keyset as JSON; encrypts signing secrets and masked headers
	Dispatch                   Dispatch
	Circuit                    Circuit
	Egress                     Egress
	Provider                   Service // places phone calls
	Analysis                   Service // analyses finished interviews; without URL, results are posted to the API
	Generator                  Service // writes the questions of new AI interviews; without URL they have none
	Sourcing                   Service // finds candidates; without URL no candidate is sourced
	SourcingTimeout            time.Duration
	Extractor                  Service // reads jobs out of their postings; without URL none is imported
	SMTP                       SMTP
	Notify                     Notify
	Interview                  Interview
	RateLimit                  RateLimit
	Quota                      Quota
	Staff                      Staff
	Suite                      Suite
	Console                    Console
	Retention                  Retention
	Media                      Media
	Log                        Log
	Tracing                    Tracing
	Pprof                      Pprof
	Dev                        Dev

	keysetFile string
	explicit   map[string]bool
	effective  []Effective
}

// HTTP configures the API's address.
type HTTP struct {
	Addr      string // host:port
	PublicURL string // without a slash at the end; derived from Addr if not set
	// MetricsAddr is the host:port of /metrics; empty: Addr.
	MetricsAddr string
	MaxConns    int // open connections of each process
	// DrainDelay is how long the API serves on after it was told to stop, while /readyz answers 503.
	DrainDelay time.Duration
	// TrustedProxies are the addresses and ranges, separated by commas, whose X-Forwarded-For is trusted.
	TrustedProxies Networks
}

// Networks are valid addresses and CIDR ranges, separated by commas.
type Networks string

// List returns the networks; none for "".
func (n Networks) List() []string {
	if n == "" {
		return nil
	}
	return strings.Split(string(n), ",")
}

// Database configures PostgreSQL.
type Database struct {
	URL      string // postgres://…
	MaxConns int    // of each process
}

// Temporal configures the Temporal server.
type Temporal struct {
	Address string // host:port
	// Managed means that this program started the server at Address, so Temporal's own variables (TEMPORAL_*) do not
	// apply.
	Managed   bool
	Namespace string
	TaskQueue string
	UIURL     string // for links only; empty: no links

	// APIKey and the TLS settings win over Temporal's own variables. Each of CAFile, CertFile, KeyFile and ServerName
	// turns TLS on.
	APIKey                    string
	TLS                       bool
	CAFile, CertFile, KeyFile string // PEM files
	ServerName                string
}

// Worker configures worker processes.
type Worker struct {
	HTTPAddr   string // host:port of its probes and metrics; empty: none
	JournalDir string // of its journal; empty: none
	// DeploymentName and BuildID are its version in Temporal. Without DeploymentName it is not versioned.
	DeploymentName string
	BuildID        string // empty: the program's version
}

// Dispatch configures the start of deliveries.
type Dispatch struct {
	PollInterval time.Duration
	BatchAbove   int // deliveries/s and waiting deliveries from which first attempts share a workflow; 0: never
	// Attempts in flight of one worker: at one endpoint, at one target host, and in all.
	MaxInFlightPerEndpoint int
	MaxInFlightPerHost     int
	MaxInFlight            int
}

// Recovery is the way in which an open circuit closes.
type Recovery string

// A circuit closes when a person resets it. With RecoverByProbe, a successful probe after the cool-down closes it too.
// With RecoverByProfile it does so unless the contract of the webhook's profile says that only a reset closes it.
const (
	RecoverManually  Recovery = "manual"
	RecoverByProbe   Recovery = "probe"
	RecoverByProfile Recovery = "profile"
)

// Circuit configures the circuit breaker of endpoints.
type Circuit struct {
	Threshold     int           // failed attempts in a row
	Span          time.Duration // since the first of them
	Recovery      Recovery
	Cooldown      time.Duration
	CooldownLimit time.Duration // of its doubling
	DisableAfter  time.Duration // 0: never
	ReleaseLimit  int           // deliveries/s at the end of the ramp
}

// Egress configures requests to the URLs of customers. Without AllowHTTP, AllowLoopback and AllowPrivate they go to
// public addresses over https.
type Egress struct {
	AllowHTTP     bool
	AllowLoopback bool
	AllowPrivate  bool

	// CAFile is a PEM file of certificate authorities that receivers may also use.
	CAFile string
	// ClientCert and ClientKey are PEM files of the certificate for receivers that ask for one; both or none.
	ClientCert, ClientKey string
	// ProxyURL is http://[user:password@]host:port of a proxy for these requests; empty: they are direct.
	ProxyURL string

	// ServicesCA is a PEM file of certificate authorities that the operator's services (provider, analyser, …),
	// mail server and S3 service may also use.
	ServicesCA string
}

// Service is an external HTTP service.
type Service struct {
	URL   string // empty: not configured
	Token string // bearer token, if set
}

// SMTP is the mail server for invitations and for mail about webhooks.
type SMTP struct {
	URL  string // smtp://user:password@host:port or smtps://…; empty: no mail is sent
	From string // address of the sender, optionally with a name; required with URL
}

// Interview has the timers of an interview.
type Interview struct {
	InvitationDeadline time.Duration
	MaxDuration        time.Duration
	AnalysisTimeout    time.Duration
	NoAnswerRetries    int
	NoAnswerDelay      time.Duration
}

// RateLimit is the default for API keys without their own limits, and the limit of a company's keys together.
type RateLimit struct {
	PerMinute        int
	PerHour          int
	CompanyPerMinute int
	CompanyPerHour   int
	// PublicPerMinute limits the requests of one network to links that need no key.
	PublicPerMinute int
}

// Quota limits what one company has.
type Quota struct {
	Webhooks   int
	EventTypes int
	APIKeys    int
	MediaBytes int // of all its uploaded files
}

// Notify configures the mail about changes of webhooks.
type Notify struct {
	Window time.Duration // between two letters to an address
}

// Staff configures the staff users of the interview suite.
type Staff struct {
	TokenMaxAge time.Duration // after which a token expires although it is used
}

// Suite configures the surface of the interview suite.
type Suite struct {
	SelfService bool // companies register webhooks of the profile interview-suite themselves
}

// Console configures the operator's pages and the portal.
type Console struct {
	Enabled bool
}

// Retention is how long events, deliveries and attempts are kept.
type Retention struct {
	Days      int
	AuditDays int // of the audit log
}

// Media is the storage of uploaded files: a directory, or a bucket if S3 is set.
type Media struct {
	Dir      string // created with the first file
	MaxBytes int    // of each file
	MinFree  int    // bytes of Dir's file system that uploads leave free
	S3       S3
}

// S3 is a bucket of an S3 service. All fields are set, or Endpoint is empty.
type S3 struct {
	Endpoint  string // http(s)://host[:port]
	Bucket    string
	Region    string
	AccessKey string
	SecretKey string
}

// Log configures the log.
type Log struct {
	Level  slog.Level
	Format LogFormat
}

// LogFormat is the format of log lines.
type LogFormat string

// The formats of log lines.
const (
	LogText LogFormat = "text"
	LogJSON LogFormat = "json"
)

// Tracing configures the traces of OpenTelemetry.
type Tracing struct {
	// Endpoint is the http(s) URL of a collector; its path is a prefix of OTLP's paths. Empty: OpenTelemetry's own
	// variables decide.
	Endpoint    string
	SampleRatio float64 // of requests to the API, 0 to 1
	// Propagate: receivers get the trace context of their attempts.
	Propagate bool
}

// Pprof configures the profiling server.
type Pprof struct {
	Addr string // host:port; empty: no profiles
}

// Dev has the settings of `greenroom dev`.
type Dev struct {
	Dir            string
	PostgresPort   int
	TemporalPort   int
	TemporalUIPort int
}

// Explicit reports whether a setting was set by flag, environment or file.
func (c Config) Explicit(name string) bool { return c.explicit[name] }

// Key is a secret as bytes. Its formatted text is hidden in logs and messages.
type Key string

// Bytes returns the secret.
func (k Key) Bytes() []byte { return []byte(k) }

// String hides the secret from fmt.
func (k Key) String() string { return "[hidden]" }

// GoString hides the secret from %#v.
func (k Key) GoString() string { return "[hidden]" }

// LogValue hides the secret from slog.
func (k Key) LogValue() slog.Value { return slog.StringValue("[hidden]") }
