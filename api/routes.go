package api

import (
	"slices"

	"greenroom/api/surface"
)

// canonical is the webhooks API. The reference uses its host with and without /v1, and /company as an alias of
// /companies (§3.2).
func (s *server) canonical() surface.Surface {
	return surface.Surface{
		Name: "greenroom", Style: style, Routes: s.routes(),
		Aliases: []surface.Alias{{Of: "/companies", Also: "/company"}, {Of: "", Also: "/v1"}},
	}
}

// routes returns all routes of the surface.
func (s *server) routes() []surface.Route {
	return slices.Concat(
		s.infraRoutes(),
		s.docRoutes(),
		s.companyRoutes(),
		s.webhookRoutes(),
		s.webhookSecretRoutes(),
		s.profileRoutes(),
		s.eventRoutes(),
		s.deliveryRoutes(),
		s.replayRoutes(),
		s.apiKeyRoutes(),
		s.auditRoutes(),
		s.jobRoutes(),
		s.sourcingRoutes(),
		s.billingRoutes(),
		s.candidateRoutes(),
		s.agentRoutes(),
		s.interviewRoutes(),
		s.callbackRoutes(),
		s.inviteRoutes(),
	)
}
