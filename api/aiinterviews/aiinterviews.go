// Package aiinterviews is the API of AI interviews, for clients that were written for Xobin: settings, invitations and reports
// under /ai-interviews, and the same under /api/v2, which the original's base URL adds.
//
// An AI interview is a job with an agent. Ids are integers, answers have no envelope, and an error is {"error": "<sentence>"}
// (reference 2.9). The contract is api/openapi/ai-interviews.yaml.
package aiinterviews

import (
	"github.com/gin-gonic/gin"

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
		Name: "ai-interviews", Prefixes: []string{"/ai-interviews", "/api/v2"}, Routes: s.routes(),
		Aliases: []surface.Alias{{Of: "", Also: "/api/v2"}},
		Style:   surface.Style{Fail: fail, KeyIn: "apiKey: sk_…"},
	}
}

func (s *server) routes() []surface.Route { return nil }

// refusal is the body of every error. Message says more where there is more to say.
type refusal struct {
	Error   string `json:"error"`
	Message string `json:"message,omitempty"`
}

func fail(c *gin.Context, e *surface.Error) {
	if e.Code == surface.CodeInvalidKey { // the original's own words (reference 2.7)
		c.JSON(e.Status, refusal{Error: "Invalid API key", Message: e.Message})
		return
	}
	c.JSON(e.Status, refusal{Error: e.Message})
}
