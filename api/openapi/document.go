package openapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Document is a contract, in the order of its file.
type Document struct{ Root *yaml.Node }

// YAML returns the contract as YAML.
func (d *Document) YAML() ([]byte, error) {
	var out bytes.Buffer
	e := yaml.NewEncoder(&out)
	e.SetIndent(2)
	err := e.Encode(d.Root)
	return out.Bytes(), err
}

// JSON returns the contract as JSON, in the same order.
func (d *Document) JSON() ([]byte, error) { return JSON(d.Root) }

// At returns the node at the keys, nil if there is none.
func (d *Document) At(keys ...string) *yaml.Node { return At(d.Root, keys...) }

// Remove removes a part of the contract.
func (d *Document) Remove(key string) {
	for i := 0; i+1 < len(d.Root.Content); i += 2 {
		if d.Root.Content[i].Value == key {
			d.Root.Content = slices.Delete(d.Root.Content, i, i+2)
			return
		}
	}
}

// Resolve returns the node that a reference names, and any other node itself.
func (d *Document) Resolve(n *yaml.Node) *yaml.Node {
	if ref := At(n, "$ref"); ref != nil {
		return d.Resolve(d.At(strings.Split(strings.TrimPrefix(ref.Value, "#/"), "/")...))
	}
	return n
}

// addWebhooks adds the webhooks of the profiles, with their tags and all components that they refer to.
func (d *Document) addWebhooks(hooks *Document, profiles []string) {
	for _, hook := range Pairs(hooks.At("webhooks")) {
		if profile, _, _ := strings.Cut(hook.Key, "/"); slices.Contains(profiles, profile) {
			set(d.under("webhooks"), hook.Key, hook.Value)
			d.addComponents(hooks, hook.Value)
		}
	}
	for _, tag := range hooks.At("tags").Content {
		if slices.Contains(profiles, At(tag, "name").Value) {
			tags := d.under("tags")
			tags.Kind = yaml.SequenceNode
			tags.Content = append(tags.Content, tag)
		}
	}
}

// addComponents adds what n refers to and the contract lacks.
func (d *Document) addComponents(hooks *Document, n *yaml.Node) {
	if ref := At(n, "$ref"); ref != nil {
		path := strings.Split(strings.TrimPrefix(ref.Value, "#/"), "/")
		if d.At(path...) == nil {
			component := hooks.At(path...)
			set(d.under(path[:len(path)-1]...), path[len(path)-1], component)
			d.addComponents(hooks, component)
		}
	}
	for _, child := range n.Content {
		d.addComponents(hooks, child)
	}
}

// under returns the mapping at the keys, which it makes if it is missing.
func (d *Document) under(keys ...string) *yaml.Node {
	n := d.Root
	for _, key := range keys {
		next := At(n, key)
		if next == nil {
			next = &yaml.Node{Kind: yaml.MappingNode}
			set(n, key, next)
		}
		n = next
	}
	return n
}

// At returns the value below a mapping at the keys, nil if there is none.
func At(n *yaml.Node, keys ...string) *yaml.Node {
	for _, key := range keys {
		n = value(n, key)
	}
	return n
}

func value(n *yaml.Node, key string) *yaml.Node {
	for _, p := range Pairs(n) {
		if p.Key == key {
			return p.Value
		}
	}
	return nil
}

// Pair is an entry of a mapping.
type Pair struct {
	Key   string
	Value *yaml.Node
}

// Pairs returns the entries of a mapping in the order of the file, and nothing for any other node.
func Pairs(n *yaml.Node) []Pair {
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	out := make([]Pair, 0, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		out = append(out, Pair{n.Content[i].Value, n.Content[i+1]})
	}
	return out
}

// Text returns the scalar at the keys, "" if there is none.
func Text(n *yaml.Node, keys ...string) string {
	if n = At(n, keys...); n == nil {
		return ""
	}
	return n.Value
}

func set(n *yaml.Node, key string, value *yaml.Node) {
	n.Style = 0
	n.Content = append(n.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: key}, value)
}

// JSON returns a part of a contract as JSON, in the order of the file.
func JSON(n *yaml.Node) ([]byte, error) {
	var out bytes.Buffer
	err := writeJSON(&out, n)
	return out.Bytes(), err
}

func writeJSON(out *bytes.Buffer, n *yaml.Node) error {
	switch n.Kind {
	case yaml.MappingNode:
		for i, p := range Pairs(n) {
			out.WriteByte("{,"[min(i, 1)])
			if err := writeScalar(out, p.Key); err != nil {
				return err
			}
			out.WriteByte(':')
			if err := writeJSON(out, p.Value); err != nil {
				return err
			}
		}
		if len(n.Content) == 0 {
			out.WriteByte('{')
		}
		out.WriteByte('}')
	case yaml.SequenceNode:
		for i, child := range n.Content {
			out.WriteByte("[,"[min(i, 1)])
			if err := writeJSON(out, child); err != nil {
				return err
			}
		}
		if len(n.Content) == 0 {
			out.WriteByte('[')
		}
		out.WriteByte(']')
	case yaml.ScalarNode:
		var v any
		if err := n.Decode(&v); err != nil {
			return err
		}
		return writeScalar(out, v)
	default: // aliases and nested documents
		return fmt.Errorf("line %d has no form in JSON", n.Line)
	}
	return nil
}

func writeScalar(out *bytes.Buffer, v any) error {
	e := json.NewEncoder(out)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return err
	}
	out.Truncate(out.Len() - 1) // the encoder's line break
	return nil
}
