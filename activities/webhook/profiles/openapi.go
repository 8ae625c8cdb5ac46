package profiles

import (
	"bytes"
	_ "embed" // the contract
	"strings"
	"sync"

	"go.yaml.in/yaml/v3"
)

//go:embed openapi.yaml
var contract []byte

// OpenAPI returns the contract of the deliveries for authors of receivers, in YAML: one webhook, named
// <profile>/<event>, for each event of each profile. It appends the schemas of the profiles' own types to openapi.yaml,
// which ends with components.schemas, so that each schema is written once.
var OpenAPI = sync.OnceValue(func() []byte {
	all := bytes.Clone(contract)
	for _, t := range types {
		if t.Schema != nil {
			all = append(all, component(t.Name, t.Schema)...)
		}
	}
	return all
})

// component returns a JSON Schema as a component of the contract. It panics if the schema is not JSON; the tests call
// it for each schema.
func component(name string, schema []byte) string {
	text := strings.ReplaceAll(string(schema), `"#/`, `"#/components/schemas/`+name+`/`)
	var n yaml.Node
	if err := yaml.Unmarshal([]byte(text), &n); err != nil {
		panic(err)
	}
	unfold(&n)
	var body bytes.Buffer
	e := yaml.NewEncoder(&body)
	e.SetIndent(2)
	if err := e.Encode(&n); err != nil {
		panic(err)
	}
	lines := strings.Split(strings.TrimSuffix(body.String(), "\n"), "\n")
	return "    " + name + ":\n      " + strings.Join(lines, "\n      ") + "\n"
}

// unfold turns JSON style into block style: a line for each field, and quotes only if needed.
func unfold(n *yaml.Node) {
	n.Style = 0
	for _, child := range n.Content {
		unfold(child)
	}
}
