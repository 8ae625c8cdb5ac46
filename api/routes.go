package api

import (
	"slices"
	"strings"

	"github.com/gin-gonic/gin"
)

// handler answers a request, or returns the error that [server.fail] answers with.
type handler func(c *gin.Context) error

// route is one line of the table. scope is what the key must hold: alternatives are separated by "|"; "" asks for a valid
// key only, public for none.
type route struct {
	method, path, scope string
	handle              handler
}

const public = "public"

// routes is the whole surface.
func (s *server) routes() []route {
	return slices.Concat(
		s.infraRoutes(),
		s.docRoutes(),
		s.companyRoutes(),
		s.webhookRoutes(),
		s.eventRoutes(),
		s.deliveryRoutes(),
		s.replayRoutes(),
		s.apiKeyRoutes(),
		s.jobRoutes(),
		s.candidateRoutes(),
		s.agentRoutes(),
		s.interviewRoutes(),
		s.callbackRoutes(),
		s.inviteRoutes(),
	)
}

// paths are where a route is served: the reference shows its host with and without /v1, and companies also as /company
// (§3.2). What belongs to the process rather than to the contract is served at its own path only.
func (r route) paths() []string {
	if infra[r.path] {
		return []string{r.path}
	}
	paths := []string{r.path}
	if rest, ok := strings.CutPrefix(r.path, "/companies"); ok {
		paths = append(paths, "/company"+rest)
	}
	for _, p := range slices.Clone(paths) {
		paths = append(paths, "/v1"+p)
	}
	return paths
}

// recognizing are the routes that may take a key as an earlier request has read it, see [server.recognize].
var recognizing = map[string]bool{"POST /events": true}

var infra = map[string]bool{"/healthz": true, "/readyz": true, "/metrics": true, "/docs": true, "/openapi/greenroom.yaml": true}
