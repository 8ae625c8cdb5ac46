package profiles

import (
	"bytes"
	"embed"
	"encoding/json"
	"strconv"
	"strings"
	"sync"

	"go.yaml.in/yaml/v3"

	"greenroom/activities/webhook"
)

//go:embed openapi.yaml
var contract []byte

// recorded are the golden files: what the tests compare with what each profile renders is what the contract shows.
//
//go:embed testdata/golden/*/*.body
var recorded embed.FS

// OpenAPI returns the contract of the deliveries for authors of receivers, in YAML: one webhook, named
// <profile>/<event>, for each event of each profile. It adds to openapi.yaml the schemas of the profiles' own types,
// and to each webhook its recorded bodies as examples, so that each schema and each body is written once.
var OpenAPI = sync.OnceValue(func() []byte {
	var doc yaml.Node
	if err := yaml.Unmarshal(contract, &doc); err != nil {
		panic(err)
	}
	root := doc.Content[0]
	schemas := at(root, "components", "schemas")
	for _, t := range types {
		if t.Schema != nil {
			add(schemas, t.Name+"Data", component(t.Schema)) // clients have the type's name as a constant
		}
	}
	for _, p := range all {
		for _, e := range p.Events {
			content := at(root, "webhooks", p.Name+"/"+e.Name, "post", "requestBody", "content")
			if content != nil { // a test finds an event that is missing
				add(at(content, "application/json"), "examples", examples(p, e))
			}
		}
	}
	var out bytes.Buffer
	e := yaml.NewEncoder(&out)
	e.SetIndent(2)
	if err := e.Encode(&doc); err != nil {
		panic(err)
	}
	return out.Bytes()
})

// component returns a JSON Schema as a component of the contract. A reference into its own definitions is replaced by
// the definition, because generators of clients know components alone.
func component(schema []byte) *yaml.Node {
	root := fromJSON(schema)
	definitions := at(root, "$defs")
	for _, name := range []string{"$defs", "$schema"} {
		remove(root, name)
	}
	inline(root, definitions)
	return root
}

func inline(n, definitions *yaml.Node) {
	if ref := at(n, "$ref"); ref != nil {
		*n = *at(definitions, strings.TrimPrefix(ref.Value, "#/$defs/"))
	}
	for _, child := range n.Content {
		inline(child, definitions)
	}
}

// examples returns the recorded bodies of an event: one for each of its types.
func examples(p *webhook.Profile, e webhook.Event) *yaml.Node {
	list := &yaml.Node{Kind: yaml.MappingNode}
	for _, eventType := range e.Types {
		body, err := recorded.ReadFile("testdata/golden/" + p.Name + "/" + goldenName(e, eventType) + ".body")
		if err != nil {
			panic(err)
		}
		example := &yaml.Node{Kind: yaml.MappingNode}
		add(example, "value", fromJSON(body))
		add(list, eventType, example)
	}
	return list
}

// goldenName is the name of an event's golden files, without their extension: that of the event, followed by the type
// if the event stands for several.
func goldenName(e webhook.Event, eventType string) string {
	if eventType != e.Name && len(e.Types) > 1 {
		return e.Name + "." + eventType
	}
	return e.Name
}

// fromJSON returns JSON that is part of the program, in its order.
func fromJSON(raw []byte) *yaml.Node {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	return next(d)
}

func next(d *json.Decoder) *yaml.Node {
	token, err := d.Token()
	if err != nil {
		panic(err)
	}
	n := &yaml.Node{}
	switch delim, _ := token.(json.Delim); delim {
	case '{':
		n.Kind = yaml.MappingNode
	case '[':
		n.Kind = yaml.SequenceNode
	default:
		return scalar(token)
	}
	for d.More() {
		child := next(d)
		if n.Kind == yaml.MappingNode {
			remove(n, child.Value) // of a repeated name the last value counts
			n.Content = append(n.Content, child)
			child = next(d)
		}
		n.Content = append(n.Content, child)
	}
	_, err = d.Token() // the closing delimiter
	if err != nil {
		panic(err)
	}
	return n
}

func scalar(token json.Token) *yaml.Node {
	n := &yaml.Node{Kind: yaml.ScalarNode}
	switch v := token.(type) {
	case string:
		n.SetString(v)
	case json.Number:
		n.Value = v.String()
	case bool:
		n.Value = strconv.FormatBool(v)
	default:
		n.Value = "null"
	}
	return n
}

// at returns the value below a mapping at the keys, nil if there is none.
func at(n *yaml.Node, keys ...string) *yaml.Node {
	for _, key := range keys {
		if n = value(n, key); n == nil {
			return nil
		}
	}
	return n
}

func value(n *yaml.Node, key string) *yaml.Node {
	if n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}

func add(n *yaml.Node, key string, v *yaml.Node) {
	n.Style = 0
	n.Content = append(n.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: key}, v)
}

func remove(n *yaml.Node, key string) {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			n.Content = append(n.Content[:i:i], n.Content[i+2:]...)
			return
		}
	}
}
