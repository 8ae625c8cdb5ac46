// Package interviewsuite is the API of recorded video interviews, for clients that were written for the interview
// suite's API v3: companies and their sub-resources, under /api/v3.
//
// A project is a job. Ids are integers, every path ends with a slash, and lists are {meta, objects}. Errors have the
// format of Django REST framework, as in the original: field errors as {"<field>": ["<sentence>"]}, all others as
// {"detail": "<sentence>"}. Fields that only this product has are stored in the row's suite column, one typed struct
// for each kind of row. All other fields are columns that the other surfaces show too. The contract is
// api/openapi/interview-suite.yaml. "Reference" in comments is the original's public API reference, by section.
package interviewsuite

import (
	"regexp"
	"slices"

	"greenroom/api/surface"
)

// Options are the settings of this surface only.
type Options struct {
	Videos Videos
}

type server struct {
	*surface.Core
	Options
	limits  *limits
	uploads *uploads
	// nestable match the addresses that can be embedded.
	nestable []*regexp.Regexp
}

// New returns the surface. The core mounts it.
func New(core *surface.Core, o Options) surface.Surface {
	s := &server{Core: core, Options: o, limits: newLimits(), uploads: newUploads()}
	return surface.Surface{
		Name: "interview-suite", Prefixes: []string{"/api/v3", "/cfev3"}, Routes: s.routes(),
		Style: surface.Style{Fail: fail, Challenge: "Token", KeyIn: "Authorization: Token sk_…", Cookie: sessionCookie},
	}
}

func (s *server) routes() []surface.Route {
	return s.nests(slices.Concat(
		s.authRoutes(),
		s.sessionRoutes(),
		s.activateRoutes(),
		s.companyRoutes(),
		s.customerRoutes(),
		s.projectRoutes(),
		s.candidateRoutes(),
		s.mediaRoutes(),
	))
}
