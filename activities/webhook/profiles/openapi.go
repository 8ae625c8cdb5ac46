package profiles

import _ "embed" // the contract

// OpenAPI is the contract of the deliveries for those who write receivers, in YAML: one webhook, named <profile>/<event>, for
// every event of every profile. Data that has a schema of its own is referred to as schemas/<type>.json beside it.
//
//go:embed openapi.yaml
var OpenAPI []byte
