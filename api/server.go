package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/uptrace/bun"

	"greenroom/db"
	"greenroom/db/seal"
)

// Options are what the API works with. DB, Box, Secret and CheckURL are required.
type Options struct {
	DB  *bun.DB
	Box *seal.Box
	// Secret keys the hashes of API keys and of call-back and invite tokens.
	Secret []byte
	// CheckURL refuses an endpoint URL that the way out would refuse too, with an error that can be shown as it is.
	CheckURL func(string) error
	// PublicURL is where others reach this API, without a slash at the end; links are made from it.
	PublicURL string
	// Limits of new keys that name none of their own.
	Limits     Limits
	Interviews InterviewRules
	// Ready is an extra condition of /readyz; nil: none.
	Ready func(context.Context) error
	// Metrics is what /metrics shows; nil: a registry of the API's own.
	Metrics *prometheus.Registry
	// TrustedProxies are the addresses and ranges whose X-Forwarded-For is believed when a key's allowed addresses are
	// checked; none by default, so that a caller cannot choose its own address.
	TrustedProxies []string
	Logger         *slog.Logger
}

// Limits are the rate limits of an API key. Zero means the default of the reference (§2.9).
type Limits struct{ PerMinute, PerHour int }

// InterviewRules are the timers that a new interview's row is given.
type InterviewRules struct {
	InvitationDeadline, MaxDuration, AnalysisTimeout time.Duration
}

const (
	defaultPerMinute = 60
	defaultPerHour   = 2000
)

type server struct {
	Options
	limiter *rateLimiter
	keys    *keyMemory
	events  *db.EventGroup
	metrics *metrics
	docs    []byte
}

// New returns the API as one handler. It refuses options without what it needs, and does no I/O.
func New(o Options) (http.Handler, error) {
	if o.DB == nil || o.Box == nil || len(o.Secret) == 0 || o.CheckURL == nil {
		return nil, errors.New("api needs a database, a box, a secret and a check of URLs")
	}
	if o.Limits.PerMinute <= 0 {
		o.Limits.PerMinute = defaultPerMinute
	}
	if o.Limits.PerHour <= 0 {
		o.Limits.PerHour = defaultPerHour
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
	docs, err := renderDocs()
	if err != nil {
		return nil, fmt.Errorf("render docs: %w", err)
	}
	s := &server{
		Options: o, limiter: newRateLimiter(), keys: newKeyMemory(), events: db.NewEventGroup(o.DB), metrics: m, docs: docs,
	}
	return s.engine()
}

func (s *server) engine() (http.Handler, error) {
	gin.SetMode(gin.ReleaseMode)
	e := gin.New()
	// A redirect would lose the body or the method of a call; an unknown path is simply unknown.
	e.RedirectTrailingSlash, e.RedirectFixedPath = false, false
	e.HandleMethodNotAllowed = true
	if err := e.SetTrustedProxies(s.TrustedProxies); err != nil {
		return nil, fmt.Errorf("trusted proxies: %w", err)
	}
	e.Use(s.observe, s.recoverPanic)
	e.NoRoute(s.wrap(func(*gin.Context) error { return errUnknownRoute }))
	e.NoMethod(s.wrap(func(*gin.Context) error { return errMethod }))
	for _, r := range s.routes() {
		for _, path := range r.paths() {
			e.Handle(r.method, path, s.chain(r)...)
		}
	}
	return e, nil
}

// chain is what a request of that route passes through.
func (s *server) chain(r route) []gin.HandlerFunc {
	if r.scope == public {
		return []gin.HandlerFunc{s.wrap(r.handle)}
	}
	authenticate := s.authenticate
	if recognizing[r.method+" "+r.path] {
		authenticate = s.recognize
	}
	return []gin.HandlerFunc{s.wrap(authenticate), s.wrap(s.limitRate), s.wrap(func(c *gin.Context) error {
		err := admitted(c, r)
		if err != nil {
			if changed := s.confirm(c, r.scope); changed != nil {
				return changed
			}
		}
		return err
	})}
}

// admitted handles a request of a known caller.
func admitted(c *gin.Context, r route) error {
	if err := requireScope(c, r.scope); err != nil {
		return err
	}
	if c.Request.URL.RawQuery != "" { // gin would drop what it cannot read
		if _, err := url.ParseQuery(c.Request.URL.RawQuery); err != nil {
			return &apiError{Status: http.StatusBadRequest, Code: codeValidation, Message: "The query is not valid"}
		}
	}
	return r.handle(c)
}

// wrap turns a handler's error into an answer and ends the chain there.
func (s *server) wrap(h handler) gin.HandlerFunc {
	return func(c *gin.Context) {
		if err := h(c); err != nil {
			s.fail(c, err)
			c.Abort()
		}
	}
}
