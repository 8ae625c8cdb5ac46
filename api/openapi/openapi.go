// Package openapi has the OpenAPI 3.1 contracts: one handwritten file per surface, with the surface's name. The
// contract of the deliveries is in package profiles, beside the profiles it describes. Tests check every route and
// every answer against these files.
package openapi

import (
	"embed"

	"greenroom/activities/webhook/profiles"
)

//go:embed *.yaml
var files embed.FS

// Webhooks is the contract of the deliveries: it has webhooks and no paths.
const Webhooks = "webhooks"

// Names returns the contracts in display order.
func Names() []string {
	return []string{"greenroom", "wiseway", "interview-suite", "ai-interviews", Webhooks}
}

// File returns the contract with that name, and false if there is none.
func File(name string) ([]byte, bool) {
	if name == Webhooks {
		return profiles.OpenAPI(), true
	}
	raw, err := files.ReadFile(name + ".yaml")
	return raw, err == nil
}
