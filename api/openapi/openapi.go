// Package openapi holds the contracts: one OpenAPI 3.1 file for each surface, named like it, and one for what the webhooks of each
// profile receive. They are written by hand and are the program's documentation; tests hold every answer of every test against
// them, and every route.
package openapi

import "embed"

//go:embed *.yaml
var files embed.FS

// Webhooks is the contract of the deliveries: its file has webhooks and no paths.
const Webhooks = "webhooks"

// Names are the contracts in the order in which they are shown.
func Names() []string {
	return []string{"greenroom", "wiseway", "interview-suite", "ai-interviews", Webhooks}
}

// File is the contract with that name; false when there is none.
func File(name string) ([]byte, bool) {
	raw, err := files.ReadFile(name + ".yaml")
	return raw, err == nil
}
