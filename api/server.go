package api

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/uptrace/bun"

	"greenroom/api/aiinterviews"
	"greenroom/api/interviewsuite"
	"greenroom/api/surface"
	"greenroom/api/wiseway"
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

	// What one surface alone needs.
	WiseWay        wiseway.Options
	InterviewSuite interviewsuite.Options
	AIInterviews   aiinterviews.Options
}

// Limits are the rate limits of an API key. Zero means the default of the reference (§2.9).
type Limits struct{ PerMinute, PerHour int }

// InterviewRules are the timers that a new interview's row is given.
type InterviewRules struct {
	InvitationDeadline, MaxDuration, AnalysisTimeout time.Duration
}

func (o *Options) core() surface.Options {
	return surface.Options{
		DB: o.DB, Box: o.Box, Secret: o.Secret, CheckURL: o.CheckURL, PublicURL: o.PublicURL,
		PerMinute: o.Limits.PerMinute, PerHour: o.Limits.PerHour,
		InvitationDeadline: o.Interviews.InvitationDeadline, MaxDuration: o.Interviews.MaxDuration,
		AnalysisTimeout: o.Interviews.AnalysisTimeout, Metrics: o.Metrics, TrustedProxies: o.TrustedProxies, Logger: o.Logger,
	}
}

// server is the canonical surface.
type server struct {
	*surface.Core
	isReady func(context.Context) error
	events  *db.EventGroup
	docs    *docs
}

// New returns all surfaces as one handler. It refuses options without what it needs, and does no I/O.
func New(o Options) (*surface.Mounted, error) {
	core, err := surface.New(o.core())
	if err != nil {
		return nil, err
	}
	pages, err := renderDocs()
	if err != nil {
		return nil, fmt.Errorf("render docs: %w", err)
	}
	s := &server{Core: core, isReady: o.Ready, events: db.NewEventGroup(o.DB), docs: pages}
	return core.Mount(
		s.canonical(),
		wiseway.New(core, o.WiseWay),
		interviewsuite.New(core, o.InterviewSuite),
		aiinterviews.New(core, o.AIInterviews),
	)
}
