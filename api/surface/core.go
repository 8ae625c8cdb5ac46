package surface

import (
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/uptrace/bun"

	"greenroom/db/seal"
)

// Options are what every surface works with. DB, Box, Secret and CheckURL are required.
type Options struct {
	DB  *bun.DB
	Box *seal.Box
	// Secret keys the hashes of API keys and of call-back and invite tokens.
	Secret []byte
	// CheckURL refuses an endpoint URL that the way out would refuse too, with an error that can be shown as it is.
	CheckURL func(string) error
	// PublicURL is where others reach this API, without a slash at the end; links are made from it.
	PublicURL string
	// PerMinute and PerHour are the rate limits of new keys that name none of their own. Zero: 60 and 2,000, the default
	// of the webhooks API's reference (§2.9).
	PerMinute, PerHour int
	// InvitationDeadline, MaxDuration and AnalysisTimeout are the timers that a new interview's row is given.
	InvitationDeadline, MaxDuration, AnalysisTimeout time.Duration
	// Mails: a mail server is configured, so invitations to ONLINE interviews are sent to candidates by e-mail.
	Mails bool
	// Metrics counts requests; nil: a registry of the core's own.
	Metrics *prometheus.Registry
	// TrustedProxies are the addresses and ranges whose X-Forwarded-For is believed when a key's allowed addresses are
	// checked; none by default, so that a caller cannot choose its own address.
	TrustedProxies []string
	Logger         *slog.Logger
}

const (
	defaultPerMinute = 60
	defaultPerHour   = 2000
)

// Core is what the surfaces of one server share.
type Core struct {
	Options
	limiter  *rateLimiter
	keys     *keyMemory
	metrics  *metrics
	surfaces []Surface
	outage   atomic.Int64 // when an outage was last logged, in Unix nanoseconds
}

// New returns a core without surfaces. It refuses options without what it needs, and does no I/O.
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
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Metrics == nil {
		o.Metrics = prometheus.NewRegistry()
	}
	m, err := newMetrics(o.Metrics)
	if err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	return &Core{Options: o, limiter: newRateLimiter(), keys: newKeyMemory(), metrics: m}, nil
}
