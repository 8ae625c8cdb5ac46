// Package openapi holds the contracts: one OpenAPI 3.1 file for each surface, named like it. What the webhooks of
// each profile receive is described beside the profiles (package profiles), so that a new profile is all in one
// place. They are written by hand and are the program's documentation; tests hold every answer of every test against
// them, and every route.
package openapi

import (
	"embed"

	"greenroom/activities/webhook/profiles"
)

//go:embed *.yaml
var files embed.FS

// Webhooks is the contract of the deliveries: it has webhooks and no paths.
const Webhooks = "webhooks"

// Names are the contracts in the order in which they are shown.
func Names() []string {
	return []string{"greenroom", "wiseway", "interview-suite", "ai-interviews", Webhooks}
}

// File is the contract with that name; false when there is none.
func File(name string) ([]byte, bool) {
	if name == Webhooks {
		return profiles.OpenAPI(), true
	}
	raw, err := files.ReadFile(name + ".yaml")
	return raw, err == nil
}
