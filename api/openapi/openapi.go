// Package openapi has the OpenAPI 3.1 contracts: one handwritten file per surface, with the surface's name. The
// contract of the deliveries is in package profiles, beside the profiles it describes; the contract of each surface
// also has the webhooks of its profiles. Tests check every route and every answer against the contracts as served.
package openapi

import (
	"embed"
	"fmt"
	"slices"

	"go.yaml.in/yaml/v3"

	"greenroom/activities/webhook/profiles"
)

//go:embed *.yaml
var files embed.FS

// Webhooks is the contract of the deliveries of all profiles: it has webhooks and no paths.
const Webhooks = "webhooks"

// contract is a contract and the profiles whose webhooks it has.
type contract struct {
	name     string
	profiles []string
}

// contracts are in display order.
var contracts = []contract{
	{"greenroom", []string{profiles.Default, profiles.Standard}},
	{"wiseway", []string{"wiseway"}},
	{"interview-suite", []string{"interview-suite"}},
	{"ai-interviews", []string{"ai-interviews"}},
	{"wise", []string{"wise"}},
	{Webhooks, nil},
}

// Names returns the contracts in display order.
func Names() []string {
	names := make([]string, len(contracts))
	for i, c := range contracts {
		names[i] = c.name
	}
	return names
}

// Read returns the contract with that name, one of [Names]. Its server is baseURL; "" leaves a relative one. The caller
// may change the document.
func Read(name, baseURL string) (*Document, error) {
	i := slices.IndexFunc(contracts, func(c contract) bool { return c.name == name })
	if i < 0 {
		return nil, fmt.Errorf("there is no contract %q", name)
	}
	d, err := contracts[i].read()
	if err != nil {
		return nil, fmt.Errorf("read contract %s: %w", name, err)
	}
	if servers := d.At("servers"); servers != nil && baseURL != "" {
		At(servers.Content[0], "url").SetString(baseURL)
	}
	return d, nil
}

func (c contract) read() (*Document, error) {
	hooks, err := parse(profiles.OpenAPI())
	if err != nil || c.name == Webhooks {
		return hooks, err
	}
	raw, err := files.ReadFile(c.name + ".yaml")
	if err != nil {
		return nil, err
	}
	d, err := parse(raw)
	if err != nil {
		return nil, err
	}
	d.addWebhooks(hooks, c.profiles)
	return d, nil
}

func parse(raw []byte) (*Document, error) {
	var n yaml.Node
	if err := yaml.Unmarshal(raw, &n); err != nil {
		return nil, err
	}
	return &Document{n.Content[0]}, nil
}
