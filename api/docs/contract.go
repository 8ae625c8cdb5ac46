package docs

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"greenroom/api/openapi"
)

// description writes a contract as Markdown.
type description struct {
	doc *openapi.Document
	out strings.Builder
}

// describe returns the contract as Markdown: the operations by tag, the webhooks, then the schemas.
func describe(name string, d *openapi.Document) ([]byte, error) {
	w := &description{doc: d}
	w.line("# %s", openapi.Text(d.Root, "info", "title"))
	w.line("%s", openapi.Text(d.Root, "info", "summary"))
	w.line("OpenAPI: [%[1]s.yaml](/openapi/%[1]s.yaml), [%[1]s.json](/openapi/%[1]s.json)", name)
	w.line("%s", openapi.Text(d.Root, "info", "description"))
	for _, tag := range elements(d.At("tags")) {
		if err := w.section(tag); err != nil {
			return nil, err
		}
	}
	if schemas := openapi.Pairs(d.At("components", "schemas")); len(schemas) > 0 {
		w.line("## Schemas")
		for _, s := range schemas {
			w.line("### Schema %s", s.Key)
			w.schema(s.Value)
		}
	}
	return []byte(w.out.String()), nil
}

// line writes a block.
func (w *description) line(format string, args ...any) {
	fmt.Fprintf(&w.out, format, args...)
	w.out.WriteString("\n\n")
}

// methods are those of operations in a path.
var methods = []string{"get", "put", "post", "delete", "options", "head", "patch", "trace"}

// section writes the operations of a tag.
func (w *description) section(tag *yaml.Node) error {
	name := openapi.Text(tag, "name")
	began := false
	for _, part := range []string{"paths", "webhooks"} {
		for _, p := range openapi.Pairs(w.doc.At(part)) {
			for _, o := range openapi.Pairs(p.Value) {
				tags := elements(openapi.At(o.Value, "tags"))
				if !slices.Contains(methods, o.Key) || len(tags) == 0 || tags[0].Value != name {
					continue
				}
				if !began {
					began = true
					w.line("## %s", name)
					w.line("%s", openapi.Text(tag, "description"))
				}
				if err := w.operation(part, p, o); err != nil {
					return fmt.Errorf("%s %s: %w", o.Key, p.Key, err)
				}
			}
		}
	}
	return nil
}

func (w *description) operation(part string, p, o openapi.Pair) error {
	w.line("### %s", openapi.Text(o.Value, "summary"))
	if part == "webhooks" {
		w.line("`POST` to the receiver.")
	} else {
		w.line("`%s %s` · %s · `%s`", strings.ToUpper(o.Key), p.Key, w.access(o.Value), openapi.Text(o.Value, "operationId"))
	}
	w.line("%s", openapi.Text(o.Value, "description"))
	parameters := slices.Concat(elements(openapi.At(p.Value, "parameters")), elements(openapi.At(o.Value, "parameters")))
	for i, parameter := range parameters {
		parameter = w.doc.Resolve(parameter)
		if i == 0 {
			w.line("Parameters:")
		}
		required := ""
		if openapi.Text(parameter, "required") == "true" {
			required = ", required"
		}
		fmt.Fprintf(&w.out, "- `%s` (%s, %s%s): %s\n", openapi.Text(parameter, "name"), openapi.Text(parameter, "in"),
			w.typeOf(openapi.At(parameter, "schema")), required, oneLine(openapi.Text(parameter, "description")))
	}
	w.out.WriteString("\n")
	if body := openapi.At(o.Value, "requestBody"); body != nil {
		if err := w.content("Body", w.doc.Resolve(body)); err != nil {
			return err
		}
	}
	w.line("Answers:")
	for _, r := range openapi.Pairs(openapi.At(o.Value, "responses")) {
		answer := w.doc.Resolve(r.Value)
		fmt.Fprintf(&w.out, "- `%s`: %s", r.Key, oneLine(openapi.Text(answer, "description")))
		for _, media := range openapi.Pairs(openapi.At(answer, "content")) {
			fmt.Fprintf(&w.out, "; `%s`: %s", media.Key, w.typeOf(openapi.At(media.Value, "schema")))
		}
		w.out.WriteString("\n")
	}
	w.out.WriteString("\n")
	return nil
}

// access says which key an operation needs. Of the scopes of one alternative the key must hold all.
func (w *description) access(operation *yaml.Node) string {
	security := openapi.At(operation, "security")
	switch {
	case security == nil:
		return "any valid key"
	case len(security.Content) == 0:
		return "no key"
	}
	var alternatives []string
	for _, s := range security.Content {
		var scopes []string
		for _, scope := range elements(openapi.At(s, "key")) {
			scopes = append(scopes, "`"+scope.Value+"`")
		}
		alternatives = append(alternatives, strings.Join(scopes, " and "))
	}
	return "scope " + strings.Join(alternatives, " or ")
}

// content writes a body: its schema and its examples.
func (w *description) content(label string, body *yaml.Node) error {
	for _, media := range openapi.Pairs(openapi.At(body, "content")) {
		w.line("%s, `%s`: %s", label, media.Key, w.typeOf(openapi.At(media.Value, "schema")))
		var examples []*yaml.Node
		if e := openapi.At(media.Value, "example"); e != nil {
			examples = append(examples, e)
		}
		for _, e := range openapi.Pairs(openapi.At(media.Value, "examples")) {
			examples = append(examples, openapi.At(e.Value, "value"))
		}
		for _, e := range examples {
			raw, err := openapi.JSON(e)
			if err != nil {
				return err
			}
			var indented bytes.Buffer
			if err := json.Indent(&indented, raw, "", "  "); err != nil {
				return err
			}
			w.line("```json\n%s\n```", indented.String())
		}
	}
	return nil
}

func (w *description) schema(s *yaml.Node) {
	if text := openapi.Text(s, "description"); text != "" {
		w.line("%s", text)
	}
	if openapi.At(s, "properties") == nil && openapi.At(s, "allOf") == nil {
		w.line("%s", w.typeOf(s))
		return
	}
	w.fields(s, "")
	w.out.WriteString("\n")
}

// fields writes the fields of an object, and of the objects in it.
func (w *description) fields(s *yaml.Node, indent string) {
	for _, part := range elements(openapi.At(s, "allOf")) {
		if openapi.At(part, "$ref") != nil {
			fmt.Fprintf(&w.out, "%s- all of %s\n", indent, w.typeOf(part))
		}
		w.fields(part, indent)
	}
	var required []string
	for _, name := range elements(openapi.At(s, "required")) {
		required = append(required, name.Value)
	}
	for _, f := range openapi.Pairs(openapi.At(s, "properties")) {
		fmt.Fprintf(&w.out, "%s- `%s`: %s", indent, f.Key, w.typeOf(f.Value))
		if slices.Contains(required, f.Key) {
			w.out.WriteString(", required")
		}
		if text := openapi.Text(f.Value, "description"); text != "" {
			fmt.Fprintf(&w.out, ". %s", oneLine(text))
		}
		w.out.WriteString("\n")
		inner := f.Value
		if items := openapi.At(inner, "items"); items != nil {
			inner = items
		}
		w.fields(inner, indent+"  ")
	}
}

// typeOf returns the type of a schema in words, with a link for a reference.
func (w *description) typeOf(s *yaml.Node) string {
	if ref := openapi.Text(s, "$ref"); ref != "" {
		name := path.Base(ref)
		return fmt.Sprintf("[%s](#schema-%s)", name, strings.ToLower(name))
	}
	for _, word := range []string{"oneOf", "anyOf", "allOf"} {
		if list := elements(openapi.At(s, word)); len(list) > 0 && openapi.At(s, "properties") == nil {
			var parts []string
			for _, part := range list {
				parts = append(parts, w.typeOf(part))
			}
			return strings.Join(parts, map[bool]string{true: " and ", false: " or "}[word == "allOf"])
		}
	}
	if c := openapi.At(s, "const"); c != nil {
		return "`" + c.Value + "`"
	}
	if values := elements(openapi.At(s, "enum")); len(values) > 0 {
		var parts []string
		for _, v := range values {
			parts = append(parts, "`"+v.Value+"`")
		}
		return strings.Join(parts, ", ")
	}
	types := elements(openapi.At(s, "type"))
	if t := openapi.Text(s, "type"); t != "" {
		types = []*yaml.Node{openapi.At(s, "type")}
	}
	var names []string
	for _, t := range types {
		names = append(names, w.named(t.Value, s))
	}
	if len(names) == 0 {
		return w.named("", s)
	}
	return strings.Join(names, " or ") + limits(s)
}

// named returns one type of a schema in words.
func (w *description) named(name string, s *yaml.Node) string {
	switch name {
	case "array":
		return "array of " + w.typeOf(openapi.At(s, "items"))
	case "", "object":
		var fields []string
		for _, f := range openapi.Pairs(openapi.At(s, "properties")) {
			fields = append(fields, f.Key+": "+w.typeOf(f.Value))
		}
		if len(fields) > 0 && len(fields) < 3 {
			return "{" + strings.Join(fields, ", ") + "}"
		}
		if name == "" && len(fields) == 0 {
			return "any"
		}
		return "object"
	case "string":
		if format := openapi.Text(s, "format"); format != "" {
			return format
		}
	}
	return name
}

// bounds are the keywords that limits shows.
var bounds = []string{"minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "pattern", "default"}

// limits returns what a schema requires of a value, in parentheses.
func limits(s *yaml.Node) string {
	var all []string
	for _, word := range bounds {
		if v := openapi.At(s, word); v != nil && v.Kind == yaml.ScalarNode {
			all = append(all, fmt.Sprintf("%s `%s`", word, v.Value))
		}
	}
	if len(all) == 0 {
		return ""
	}
	return " (" + strings.Join(all, ", ") + ")"
}

func elements(n *yaml.Node) []*yaml.Node {
	if n == nil || n.Kind != yaml.SequenceNode {
		return nil
	}
	return n.Content
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }
