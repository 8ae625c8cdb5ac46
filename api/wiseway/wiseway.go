// Package wiseway is the positions API, for clients that were written for WiseWay: positions, their candidates and
// webhooks below /api/app.
//
// A position is a job. The reference (1.2–1.5) gives the paths, the header of the key and the events, and leaves
// bodies, errors and status codes unknown; what was chosen for them is in this surface's contract,
// api/openapi/wiseway.yaml.
package wiseway

import (
	"maps"
	"slices"

	"github.com/gin-gonic/gin"

	"greenroom/api/surface"
)

type server struct {
	*surface.Core
}

// New returns the surface; the core mounts it.
func New(core *surface.Core) surface.Surface {
	s := &server{core}
	return surface.Surface{
		Name: "wiseway", Prefixes: []string{"/api/app"}, Routes: s.routes(),
		Style: surface.Style{Fail: fail, KeyIn: "x-api-key: sk_…"},
	}
}

func (s *server) routes() []surface.Route {
	return slices.Concat(s.positionRoutes(), s.candidateRoutes(), s.webhookRoutes())
}

// refusal is the body of every error; the reference does not show one (Part 4).
type refusal struct {
	Error problem `json:"error"`
}

type problem struct {
	Code    string          `json:"code"`
	Message string          `json:"message"`
	Field   string          `json:"field,omitempty"`
	Details surface.Details `json:"details,omitempty"`
}

func fail(c *gin.Context, e *surface.Error) {
	p := problem{Code: e.Code, Message: e.Message, Field: e.Field(), Details: maps.Clone(e.Details)}
	delete(p.Details, "field")
	if e.Limited != nil {
		p.Details = surface.Details{"retryAfter": e.Limited.RetryAfter, "limit": e.Limited.Limit}
	}
	c.JSON(e.Status, refusal{p})
}
