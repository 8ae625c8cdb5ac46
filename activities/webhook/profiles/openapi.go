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

// OpenAPI is the contract of the deliveries for those who write receivers, in YAML: one webhook, named
// <profile>/<event>, for every event of every profile. It is openapi.yaml, whose last part is components.schemas,
// followed by the schemas of the types that the profiles bring: so there is one text of each.
var OpenAPI = sync.OnceValue(func() []byte {
	all := bytes.Clone(contract)
	for _, t := range types {
		if t.Schema != nil {
			all = append(all, component(t.Name, t.Schema)...)
		}
	}
	return all
})

// component is a JSON Schema as a component of the contract. It panics where the schema is no JSON, which tests
// exclude.
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

// unfold writes JSON as people write YAML: a line for each field, and quotes only where they are needed.
func unfold(n *yaml.Node) {
	n.Style = 0
	for _, child := range n.Content {
		unfold(child)
	}
}
