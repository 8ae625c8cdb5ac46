package api

import (
	"bytes"
	_ "embed" // the pages are part of the binary
	"fmt"
	"html/template"
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"
	"github.com/yuin/goldmark"
	"go.yaml.in/yaml/v3"

	"greenroom/api/openapi"
	"greenroom/api/surface"
)

//go:embed docs.html
var docsPage string

// docsPolicy forbids scripts and external resources; the pages are static text.
const docsPolicy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"

func (s *server) docRoutes() []surface.Route {
	return []surface.Route{
		surface.Get("/docs", surface.Public, s.showIndex).Alone(),
		surface.Get("/docs/:name", surface.Public, s.showDocs).Alone(),
		surface.Get("/openapi/:file", surface.Public, showContract).Alone(),
	}
}

func (s *server) showIndex(c *gin.Context) error { return showPage(c, s.docs.index) }

func (s *server) showDocs(c *gin.Context) error {
	name := c.Param("name")
	page, found := s.docs.pages[name]
	if !found {
		return surface.NotFound("Documentation", name)
	}
	return showPage(c, page)
}

func showPage(c *gin.Context, page []byte) error {
	c.Header("Content-Security-Policy", docsPolicy)
	c.Data(http.StatusOK, "text/html; charset=utf-8", page)
	return nil
}

func showContract(c *gin.Context) error {
	file := c.Param("file")
	name, isYAML := strings.CutSuffix(file, ".yaml")
	contract, found := openapi.File(name)
	if !isYAML || !found {
		return surface.NotFound("Contract", file)
	}
	c.Data(http.StatusOK, "application/yaml; charset=utf-8", contract)
	return nil
}

// docs are the HTML pages of the contracts, rendered at startup.
type docs struct {
	index []byte
	pages map[string][]byte // by contract name
}

// document has the parts of a contract that a page shows. Parts shown verbatim stay YAML nodes.
type document struct {
	Name string `yaml:"-"`
	Info struct{ Title, Version, Summary, Description string }
	Tags []struct{ Name, Description string }
	// Paths and Webhooks keep the order of the file.
	Paths, Webhooks yaml.Node
	Components      struct{ Schemas yaml.Node }
}

type operation struct {
	Method, Path string
	Tags         []string
	OperationID  string `yaml:"operationId"`
	Summary      string
	Description  string
	// Security nil: any valid key; empty: no key.
	Security    *[]struct{ Key []string }
	Parameters  yaml.Node
	RequestBody yaml.Node `yaml:"requestBody"`
	Responses   yaml.Node
	// Incoming marks a request that Greenroom sends to the receiver.
	Incoming bool `yaml:"-"`
}

// Public reports whether the operation needs no key.
func (o operation) Public() bool { return o.Security != nil && len(*o.Security) == 0 }

// Scopes lists the alternatives, of which the key must hold one; one alternative may combine several scopes. "": any
// key.
func (o operation) Scopes() string {
	if o.Security == nil {
		return ""
	}
	alternatives := make([]string, len(*o.Security))
	for i, s := range *o.Security {
		alternatives[i] = strings.Join(s.Key, " and ")
	}
	return strings.Join(alternatives, " or ")
}

type section struct {
	Name, Description string
	Operations        []operation
}

func renderDocs() (*docs, error) {
	page, err := template.New("docs").
		Funcs(template.FuncMap{"yaml": asYAML, "pairs": pairs, "markdown": markdown}).
		Parse(docsPage)
	if err != nil {
		return nil, fmt.Errorf("parse page: %w", err)
	}
	all := &docs{pages: map[string][]byte{}}
	var contracts []*document
	for _, name := range openapi.Names() {
		d, err := readContract(name)
		if err != nil {
			return nil, fmt.Errorf("read contract %s: %w", name, err)
		}
		contracts = append(contracts, d)
	}
	for _, d := range contracts {
		if all.pages[d.Name], err = d.render(page, contracts); err != nil {
			return nil, fmt.Errorf("render %s: %w", d.Name, err)
		}
	}
	all.index, err = execute(page, "index", map[string]any{"Contracts": contracts})
	return all, err
}

func readContract(name string) (*document, error) {
	raw, _ := openapi.File(name)
	d := &document{Name: name}
	return d, yaml.Unmarshal(raw, d)
}

func (d *document) render(page *template.Template, all []*document) ([]byte, error) {
	operations, err := d.operations()
	if err != nil {
		return nil, err
	}
	return execute(page, "contract", map[string]any{
		"Doc": d, "Contracts": all, "Sections": d.sections(operations), "Schemas": d.Components.Schemas,
	})
}

func execute(page *template.Template, name string, data any) ([]byte, error) {
	var out bytes.Buffer
	err := page.ExecuteTemplate(&out, name, data)
	return out.Bytes(), err
}

func (d *document) operations() ([]operation, error) {
	paths, err := operationsOf(d.Paths, false)
	if err != nil {
		return nil, err
	}
	hooks, err := operationsOf(d.Webhooks, true)
	return append(paths, hooks...), err
}

func operationsOf(paths yaml.Node, incoming bool) ([]operation, error) {
	var all []operation
	for _, path := range pairs(paths) {
		for _, p := range pairs(path.Value) {
			if p.Key == "parameters" {
				continue
			}
			o := operation{Incoming: incoming}
			if err := p.Value.Decode(&o); err != nil {
				return nil, fmt.Errorf("read %s %s: %w", p.Key, path.Key, err)
			}
			o.Method, o.Path = strings.ToUpper(p.Key), path.Key
			all = append(all, o)
		}
	}
	return all, nil
}

// sections groups the operations by tag, in the order of the tags.
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

// pairs returns the entries of a mapping in the order of the file.
func pairs(n yaml.Node) []pair {
	var out []pair
	for i := 0; i+1 < len(n.Content); i += 2 {
		out = append(out, pair{n.Content[i].Value, *n.Content[i+1]})
	}
	return out
}

// markdown renders a description to HTML. HTML inside the text is escaped.
func markdown(text string) (template.HTML, error) {
	var out bytes.Buffer
	if err := goldmark.Convert([]byte(text), &out); err != nil {
		return "", fmt.Errorf("render description: %w", err)
	}
	return template.HTML(out.String()), nil //nolint:gosec // the renderer escapes HTML
}

// asYAML returns a part of the contract as text; "" if it does not exist.
func asYAML(n yaml.Node) (string, error) {
	if n.IsZero() {
		return "", nil
	}
	raw, err := yaml.Marshal(&n)
	return strings.TrimSpace(string(raw)), err
}
