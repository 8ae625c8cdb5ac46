// Package interviewsuite is the API of recorded video interviews, for clients that were written for the interview
// suite's API v3: companies and what is below them, under /api/v3.
//
// A project is a job. Ids are integers, every path ends with a slash, lists are {meta, objects}, and errors are those
// of the framework that the original shows (Django REST framework): field errors as {"<field>": ["<sentence>"]}, all
// others as {"detail": "<sentence>"}. What only this product knows of a row is kept in the row's suite column, one
// typed struct for each kind of row; all else is a column that the other surfaces see too. The contract is
// api/openapi/interview-suite.yaml.
package interviewsuite

import (
	"slices"

	"greenroom/api/surface"
)

// Options are what this surface alone needs.
type Options struct {
	Videos Videos
}

type server struct {
	*surface.Core
	Options
	limits *limits
}

// New returns the surface; it is served when the core mounts it.
func New(core *surface.Core, o Options) surface.Surface {
	s := &server{core, o, newLimits()}
	return surface.Surface{
		Name: "interview-suite", Prefixes: []string{"/api/v3", "/cfev3"}, Routes: s.routes(),
		Style: surface.Style{Fail: fail, Challenge: "Token", KeyIn: "Authorization: Token sk_…"},
	}
}

// routes is the whole surface.
func (s *server) routes() []surface.Route {
	return slices.Concat(
		s.authRoutes(),
		s.companyRoutes(),
		s.customerRoutes(),
		s.projectRoutes(),
		s.candidateRoutes(),
		s.mediaRoutes(),
	)
}
