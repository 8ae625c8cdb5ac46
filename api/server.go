package api

import (
	"context"
	"fmt"

	"greenroom/api/aiinterviews"
	"greenroom/api/interviewsuite"
	"greenroom/api/surface"
	"greenroom/api/wiseway"
	"greenroom/db/delivery"
)

// Options are what the API works with: what all surfaces share, and what one of them needs alone.
type Options struct {
	surface.Options
	// Ready is an extra condition of /readyz; nil: none.
	Ready func(context.Context) error

	InterviewSuite interviewsuite.Options
	AIInterviews   aiinterviews.Options
}

// server is the canonical surface.
type server struct {
	*surface.Core
	isReady func(context.Context) error
	events  *delivery.EventGroup
	docs    *docs
}

// New returns all surfaces as one handler. It refuses options without what it needs, and does no I/O.
func New(o Options) (*surface.Mounted, error) {
	core, err := surface.New(o.Options)
	if err != nil {
		return nil, err
	}
	pages, err := renderDocs()
	if err != nil {
		return nil, fmt.Errorf("render docs: %w", err)
	}
	s := &server{Core: core, isReady: o.Ready, events: delivery.NewEventGroup(o.DB), docs: pages}
	return core.Mount(
		s.canonical(),
		wiseway.New(core),
		interviewsuite.New(core, o.InterviewSuite),
		aiinterviews.New(core, o.AIInterviews),
	)
}
