package api

import (
	"bytes"
	_ "embed" // the contract and its page are part of the program
	"fmt"
	"html/template"
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"
	"github.com/yuin/goldmark"
	"go.yaml.in/yaml/v3"
)

//go:embed openapi/greenroom.yaml
var contract []byte

//go:embed docs.html
var docsPage string

// Nothing is loaded from elsewhere and no script runs: the page is text.
const docsPolicy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"

func (s *server) docRoutes() []route {
	return []route{
		{http.MethodGet, "/docs", public, s.showDocs},
		{http.MethodGet, "/openapi/greenroom.yaml", public, s.showContract},
	}
}

func (s *server) showDocs(c *gin.Context) error {
	c.Header("Content-Security-Policy", docsPolicy)
	c.Data(http.StatusOK, "text/html; charset=utf-8", s.docs)
	return nil
}

func (s *server) showContract(c *gin.Context) error {
	c.Data(http.StatusOK, "application/yaml; charset=utf-8", contract)
	return nil
}

// document is what the page shows of the contract. Parts that are shown as they stand are kept as nodes.
type document struct {
	Info struct{ Title, Version, Summary, Description string }
	Tags []struct{ Name, Description string }
	// Paths keeps the order of the file.
	Paths      yaml.Node
	Components struct{ Schemas yaml.Node }
}

type operation struct {
	Method, Path string
	Tags         []string
	OperationID  string `yaml:"operationId"`
	Summary      string
	Description  string
	Security     []struct{ Key []string }
	Parameters   yaml.Node
	RequestBody  yaml.Node `yaml:"requestBody"`
	Responses    yaml.Node
}

// Scopes are the alternatives of which the key must hold one; an alternative may be several scopes together.
func (o operation) Scopes() string {
	alternatives := make([]string, len(o.Security))
	for i, s := range o.Security {
		alternatives[i] = strings.Join(s.Key, " and ")
	}
	return strings.Join(alternatives, " or ")
}

type section struct {
	Name, Description string
	Operations        []operation
}

// renderDocs makes the page of the contract, once at start.
func renderDocs() ([]byte, error) {
	var d document
	if err := yaml.Unmarshal(contract, &d); err != nil {
		return nil, fmt.Errorf("read contract: %w", err)
	}
	operations, err := d.operations()
	if err != nil {
		return nil, err
	}
	page, err := template.New("docs").Funcs(template.FuncMap{"yaml": asYAML, "pairs": pairs, "markdown": markdown}).Parse(docsPage)
	if err != nil {
		return nil, fmt.Errorf("parse page: %w", err)
	}
	var out bytes.Buffer
	err = page.Execute(&out, map[string]any{"Doc": d, "Sections": d.sections(operations), "Schemas": d.Components.Schemas})
	return out.Bytes(), err
}

func (d *document) operations() ([]operation, error) {
	var all []operation
	for _, path := range pairs(d.Paths) {
		for _, p := range pairs(path.Value) {
			if p.Key == "parameters" {
				continue
			}
			var o operation
			if err := p.Value.Decode(&o); err != nil {
				return nil, fmt.Errorf("read %s %s: %w", p.Key, path.Key, err)
			}
			o.Method, o.Path = strings.ToUpper(p.Key), path.Key
			all = append(all, o)
		}
	}
	return all, nil
}

// sections groups the operations by their tag, in the order of the tags.
func (d *document) sections(all []operation) []section {
	var out []section
	for _, tag := range d.Tags {
		s := section{Name: tag.Name, Description: tag.Description}
		for _, o := range all {
			if len(o.Tags) > 0 && o.Tags[0] == tag.Name {
				s.Operations = append(s.Operations, o)
			}
		}
		if len(s.Operations) > 0 {
			out = append(out, s)
		}
	}
	return out
}

type pair struct {
	Key   string
	Value yaml.Node
}

// pairs are the names and values of a mapping, in the order of the file.
func pairs(n yaml.Node) []pair {
	var out []pair
	for i := 0; i+1 < len(n.Content); i += 2 {
		out = append(out, pair{n.Content[i].Value, *n.Content[i+1]})
	}
	return out
}

// markdown is a description as OpenAPI writes it, in HTML. The text is the contract's own; HTML in it stays text.
func markdown(text string) (template.HTML, error) {
	var out bytes.Buffer
	if err := goldmark.Convert([]byte(text), &out); err != nil {
		return "", fmt.Errorf("render description: %w", err)
	}
	return template.HTML(out.String()), nil //nolint:gosec // made by the renderer, which escapes
}

// asYAML is a part of the contract as text; "" for one that is not there.
func asYAML(n yaml.Node) (string, error) {
	if n.IsZero() {
		return "", nil
	}
	raw, err := yaml.Marshal(&n)
	return strings.TrimSpace(string(raw)), err
}
