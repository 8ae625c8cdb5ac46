// Package interviewsuite is the API of recorded video interviews, for clients that were written for the interview suite's API v3:
// companies and what is below them, under /api/v3.
//
// A project is a job. Ids are integers, every path ends with a slash, lists are {meta, objects}, and errors are those of the
// framework that the original shows (Django REST framework): field errors as {"<field>": ["<sentence>"]}, all others as
// {"detail": "<sentence>"}. The contract is api/openapi/interview-suite.yaml.
package interviewsuite

import (
	"greenroom/api/surface"
)

// Options are what this surface alone needs: nothing.
type Options struct{}

type server struct {
	*surface.Core
	Options
}

// New returns the surface; it is served when the core mounts it.
func New(core *surface.Core, o Options) surface.Surface {
	s := &server{core, o}
	return surface.Surface{
		Name: "interview-suite", Prefixes: []string{"/api/v3"}, Routes: s.routes(),
		Style: surface.Style{Fail: fail, Challenge: "Token", KeyIn: "Authorization: Token sk_…"},
	}
}

func (s *server) routes() []surface.Route { return nil }
