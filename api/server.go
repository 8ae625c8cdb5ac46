package api

import (
	"context"

	"github.com/uptrace/bun"

	"greenroom/api/aiinterviews"
	"greenroom/api/console"
	"greenroom/api/docs"
	"greenroom/api/interviewsuite"
	"greenroom/api/surface"
	"greenroom/api/wiseway"
	"greenroom/db/delivery"
)

// Options configure the API: the options common to all surfaces, and those of single surfaces.
type Options struct {
	surface.Options
	// Ready is an additional check for /readyz; nil: none.
	Ready func(context.Context) error

	// MetricsElsewhere leaves out /metrics, because another server shows the metrics.
	MetricsElsewhere bool

	// Engine is the pool that stores published events (pg.Options.Engine); nil: DB.
	Engine *bun.DB
	// Stopping, when closed, ends the requests that wait for events; nil: nothing ends them early.
	Stopping <-chan struct{}

	// ReplaysPerSecond is the pace of replays, for the estimate of a dry run; zero: not known.
	ReplaysPerSecond int

	Console        console.Options
	InterviewSuite interviewsuite.Options
	AIInterviews   aiinterviews.Options
}

// server is the canonical surface.
type server struct {
	*surface.Core
	isReady func(context.Context) error
	// showsMetrics: /metrics is a route.
	showsMetrics bool
	events       *delivery.EventGroup
	checks       *schemaChecks
	tests        *surface.Shares
	docs         *docs.Site
	imports      *surface.Shares
	feed         *delivery.FeedWatch
	waiters      *surface.Shares
	stopping     <-chan struct{}
	// replaysPerSecond: see Options.
	replaysPerSecond int
	// hasPortal: links to the portal can be made.
	hasPortal bool
}

// New returns all surfaces as one handler. It returns an error if a required option is missing, and does no I/O.
func New(o Options) (*surface.Mounted, error) {
	core, err := surface.New(o.Options)
	if err != nil {
		return nil, err
	}
	if o.Engine == nil {
		o.Engine = o.DB
	}
	consolePath := console.Path
	if o.Console.Disabled {
		consolePath = ""
	}
	s := &server{
		Core: core, isReady: o.Ready, showsMetrics: !o.MetricsElsewhere, events: delivery.NewEventGroup(o.Engine),
		checks: newSchemaChecks(), tests: surface.NewShares(testsTotal, testsEach, testWait),
		imports: surface.NewShares(importsTotal, importsEach, importTurn),
		docs:    docs.New(o.PublicURL, consolePath),
		feed:    delivery.NewFeedWatch(o.DB), waiters: surface.NewShares(waitersTotal, waitersEach, waiterTurn),
		stopping:         o.Stopping,
		replaysPerSecond: o.ReplaysPerSecond, hasPortal: !o.Console.Disabled,
	}
	surfaces := []surface.Surface{
		s.canonical(),
		wiseway.New(core),
		interviewsuite.New(core, o.InterviewSuite),
		aiinterviews.New(core, o.AIInterviews),
	}
	if !o.Console.Disabled {
		web, err := console.New(core, o.Console)
		if err != nil {
			return nil, err
		}
		surfaces = append(surfaces, web)
	}
	return core.Mount(surfaces...)
}
