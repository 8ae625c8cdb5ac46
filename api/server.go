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

// Options configure the API: the options common to all surfaces, and those of single surfaces.
type Options struct {
	surface.Options
	// Ready is an additional check for /readyz; nil: none.
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

// New returns all surfaces as one handler. It returns an error if a required option is missing, and does no I/O.
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
