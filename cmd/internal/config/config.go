// Package config turns the environment, an optional YAML file and command-line flags into one typed, checked value.
//
// It is the only package that knows viper: everything else gets plain structs, so nothing reads a setting in the
// middle of its work. Every setting is one line of one table (settings.go) that holds its name, its default, what it
// means and what it accepts; the environment variable, the flag, the check, the message and the documentation follow
// from that line. A flag beats the environment, the environment beats the file, the file beats the default.
package config

import (
	"log/slog"
	"strings"
	"time"
)

// Config is every setting of every sub-command, checked by Load. Durations are positive, numbers are within the
// bounds that their messages state, addresses and URLs are well-formed.
type Config struct {
	HTTP      HTTP
	Database  Database
	Temporal  Temporal
	Worker    Worker
	Secret    Key    // keys the hashes of API keys and call-back tokens
	Keyset    string // Tink AEAD keyset as JSON; seals signing secrets and masked headers
	Dispatch  Dispatch
	Circuit   Circuit
	Egress    Egress
	Provider  Service // places phone calls
	Analysis  Service // analyses finished interviews; without URL, results are posted to the API
	Generator Service // writes questions for new AI interviews; without URL they have none
	SMTP      SMTP
	Interview Interview
	RateLimit RateLimit
	Retention Retention
	Media     Media
	Log       Log
	Pprof     Pprof
	Dev       Dev

	keysetFile string
	explicit   map[string]bool
}

// HTTP is where the API listens and what others call it.
type HTTP struct {
	Addr      string // host:port
	PublicURL string // without a slash at the end; made from Addr when not set
	// TrustedProxies are the addresses and ranges, separated by commas, whose X-Forwarded-For is believed.
	TrustedProxies Networks
}

// Networks are addresses and CIDR ranges, each well-formed, separated by commas.
type Networks string

// List is the networks one by one; none for "".
func (n Networks) List() []string {
	if n == "" {
		return nil
	}
	return strings.Split(string(n), ",")
}

// Database is PostgreSQL.
type Database struct {
	URL      string // postgres://…
	MaxConns int    // of one process
}

// Temporal is where workflows run.
type Temporal struct {
	Address string // host:port
	// Managed: this program started the server at Address, so Temporal's own variables (TEMPORAL_*) do not apply.
	Managed   bool
	Namespace string
	TaskQueue string
	UIURL     string // for links only; empty: no links
}

// Worker is what a worker process is to those who run it.
type Worker struct {
	HTTPAddr string // host:port of its probes and metrics; empty: none
	// DeploymentName and BuildID are its version in Temporal; without DeploymentName it has none.
	DeploymentName string
	BuildID        string // empty: the program's version
}

// Dispatch moves accepted events to workflows.
type Dispatch struct {
	PollInterval           time.Duration
	BatchAbove             int // deliveries/s, and rows waiting, from which deliveries share a workflow; 0: never
	MaxInFlightPerEndpoint int
}

// Recovery says who closes an open circuit.
type Recovery string

// The ways an open circuit closes: a person resets it, or a single delivery is tried after a cool-down as well.
const (
	RecoverManually Recovery = "manual"
	RecoverByProbe  Recovery = "probe"
)

// Circuit protects an endpoint that keeps failing.
type Circuit struct {
	Threshold    int // failed attempts in a row
	Recovery     Recovery
	Cooldown     time.Duration
	DisableAfter time.Duration // 0: never
	ReleaseLimit int           // deliveries/s where the ramp ends
}

// Egress is what outbound requests may reach beyond public addresses over https.
type Egress struct {
	AllowHTTP     bool
	AllowLoopback bool
	AllowPrivate  bool
}

// Service is an HTTP service that Greenroom calls.
type Service struct {
	URL   string // empty: there is none
	Token string // sent as a bearer token when set
}

// SMTP is the mail server that invitations go through.
type SMTP struct {
	URL  string // smtp://user:password@host:port or smtps://…; empty: no mail is sent
	From string // address of the sender, a name may stand before it; set whenever URL is
}

// Interview holds the timers of an interview.
type Interview struct {
	InvitationDeadline time.Duration
	MaxDuration        time.Duration
	AnalysisTimeout    time.Duration
	NoAnswerRetries    int
	NoAnswerDelay      time.Duration
}

// RateLimit holds for an API key that has no limits of its own.
type RateLimit struct {
	PerMinute int
	PerHour   int
}

// Retention is how long events, deliveries and attempts are kept.
type Retention struct {
	Days int
}

// Media is where uploaded files are kept: in a directory, or in a bucket when S3 is set.
type Media struct {
	Dir      string // made with the first file
	MaxBytes int    // of one file
	S3       S3
}

// S3 is a bucket of a service that speaks S3. It is there whole or, with Endpoint empty, not at all.
type S3 struct {
	Endpoint  string // http(s)://host[:port]
	Bucket    string
	Region    string
	AccessKey string
	SecretKey string
}

// Log is how the program logs.
type Log struct {
	Level  slog.Level
	Format LogFormat
}

// LogFormat is how a log line looks.
type LogFormat string

// The formats of a log line: for people, for machines.
const (
	LogText LogFormat = "text"
	LogJSON LogFormat = "json"
)

// Pprof is for developers.
type Pprof struct {
	Addr string // host:port; empty: no profiles
}

// Dev is for `greenroom dev` alone.
type Dev struct {
	Dir            string
	PostgresPort   int
	TemporalPort   int
	TemporalUIPort int
}

// Explicit tells whether somebody set this setting, by flag, environment or file, as opposed to its default.
func (c Config) Explicit(name string) bool { return c.explicit[name] }

// Key is a secret as bytes. It does not show itself in logs and messages.
type Key string

// Bytes is the secret itself.
func (k Key) Bytes() []byte { return []byte(k) }

// String hides the secret from fmt.
func (k Key) String() string { return "[hidden]" }

// GoString hides the secret from %#v.
func (k Key) GoString() string { return "[hidden]" }

// LogValue hides the secret from slog.
func (k Key) LogValue() slog.Value { return slog.StringValue("[hidden]") }
