package surface

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/ulule/limiter/v3"
	"github.com/uptrace/bun"

	"greenroom/db/seal"
)

// Options configure all surfaces. DB, Box, Secret and CheckURL are required.
type Options struct {
	DB  *bun.DB
	Box *seal.Box
	// Secret keys the hashes of API keys and of callback and invite tokens.
	Secret []byte
	// NextSecret and PreviousSecret are accepted too, while the secret is rotated. A key that is shown is hashed again
	// from the previous secret to the current one.
	NextSecret, PreviousSecret []byte
	// CheckURL refuses an endpoint URL that the delivery client would refuse, with an error that can be shown to a client.
	CheckURL func(string) error
	// PublicURL is the base URL of links to this API, without a trailing slash.
	PublicURL string
	// PerMinute and PerHour are the default rate limits of new keys. Zero: 60 and 2,000, the defaults of the webhooks
	// API's reference (§2.9).
	PerMinute, PerHour int
	// PublicPerMinute limits the requests of one network to links without a key. Zero: 300.
	PublicPerMinute int
	// Quota limits what one company has; zero fields have defaults.
	Quota Quota
	// CompanyPerMinute and CompanyPerHour are the limits of all keys and tokens of a company together. Zero: ten times the
	// default limits of a key.
	CompanyPerMinute, CompanyPerHour int
	// InvitationDeadline, MaxDuration and AnalysisTimeout are the timers of new interviews.
	InvitationDeadline, MaxDuration, AnalysisTimeout time.Duration
	// Mails: a mail server is configured, so invitations to ONLINE interviews are sent to candidates by e-mail.
	Mails bool
	// SourcingTimeout is how long a sourcing or an enrichment may take; zero: no sourcing service is configured. Imports:
	// a service is configured that reads jobs out of their postings.
	SourcingTimeout time.Duration
	Imports         bool
	// SelfService lets companies register webhooks of profiles that by their contract the operator registers.
	SelfService bool
	// TokenMaxAge is after how long a staff user's token expires although it is used. Zero: db.DefaultTokenAge.
	TokenMaxAge time.Duration
	// Metrics registers the request metrics; nil: a private registry.
	Metrics *prometheus.Registry
	// TrustedProxies are the addresses and ranges whose X-Forwarded-For is trusted when a key's allowed addresses are
	// checked and log-ins are counted. Default: none, so that a caller cannot choose its address.
	TrustedProxies []string
	Logger         *slog.Logger
}

const (
	defaultPerMinute = 60
	defaultPerHour   = 2000
	// defaultPublic allows a company's candidates behind one address.
	defaultPublic = 300
)

// Quota limits what one company has. A request beyond it is refused with [CodeQuota].
type Quota struct {
	Webhooks   int   // zero: 1,000
	EventTypes int   // zero: 500
	APIKeys    int   // zero: 1,000
	MediaBytes int64 // of all uploaded files; zero: 100 GiB
}

func (q Quota) withDefaults() Quota {
	return Quota{
		Webhooks:   cmp.Or(q.Webhooks, 1000),
		EventTypes: cmp.Or(q.EventTypes, 500),
		APIKeys:    cmp.Or(q.APIKeys, 1000),
		MediaBytes: cmp.Or(q.MediaBytes, 100<<30),
	}
}

// Core is shared by the surfaces of one server.
type Core struct {
	Options
	limiter  *rateLimiter
	networks limiter.Store // counts requests without a key
	memory   *Shares
	keys     *keyMemory
	metrics  *metrics
	surfaces []Surface
	handler  http.Handler // the mounted surfaces
	warned   atomic.Bool  // of a peer that may be an unknown proxy
	outage   atomic.Int64 // when an outage was last logged, in Unix nanoseconds
}

// Secrets returns the values of the secret that are accepted, the current one first.
func (o *Options) Secrets() [][]byte {
	secrets := [][]byte{o.Secret}
	for _, secret := range [][]byte{o.NextSecret, o.PreviousSecret} {
		if len(secret) > 0 {
			secrets = append(secrets, secret)
		}
	}
	return secrets
}

// New returns a core without surfaces. It returns an error if a required option is missing, and does no I/O.
func New(o Options) (*Core, error) {
	if o.DB == nil || o.Box == nil || len(o.Secret) == 0 || o.CheckURL == nil {
		return nil, errors.New("api needs a database, a box, a secret and a check of URLs")
	}
	if o.PerMinute <= 0 {
		o.PerMinute = defaultPerMinute
	}
	if o.PerHour <= 0 {
		o.PerHour = defaultPerHour
	}
	if o.PublicPerMinute <= 0 {
		o.PublicPerMinute = defaultPublic
	}
	if o.CompanyPerMinute <= 0 {
		o.CompanyPerMinute = 10 * defaultPerMinute
	}
	if o.CompanyPerHour <= 0 {
		o.CompanyPerHour = 10 * defaultPerHour
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Metrics == nil {
		o.Metrics = prometheus.NewRegistry()
	}
	o.Quota = o.Quota.withDefaults()
	m, err := newMetrics(o.Metrics)
	if err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	return &Core{
		Options:  o,
		limiter:  newRateLimiter(o.DB),
		networks: newNetworkCounts(),
		memory:   NewShares(memoryTotal, memoryEach, memoryWait),
		keys:     newKeyMemory(),
		metrics:  m,
	}, nil
}
