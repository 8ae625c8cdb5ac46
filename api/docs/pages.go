package docs

import (
	"bytes"
	"fmt"
	"html/template"
	"strings"
	"sync"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/parser"

	"greenroom/api/openapi"
)

var templates = sync.OnceValue(func() *template.Template {
	return template.Must(template.ParseFS(files, "pages.html"))
})

// converter renders Markdown. HTML inside the text is escaped.
var converter = goldmark.New(
	goldmark.WithExtensions(extension.Table),
	goldmark.WithParserOptions(parser.WithAutoHeadingID()),
)

// entry is a contract or a guide in a list.
type entry struct{ Name, Title, Summary string }

// link is one in the header of a page.
type link struct{ Path, Title string }

func (s *Site) addContracts() {
	for _, name := range openapi.Names() {
		read := func() (*openapi.Document, error) { return openapi.Read(name, s.baseURL) }
		s.add("/openapi/"+name+".yaml", "application/yaml; charset=utf-8", func() ([]byte, error) {
			d, err := read()
			if err != nil {
				return nil, err
			}
			return d.YAML()
		})
		s.add("/openapi/"+name+".json", "application/json", func() ([]byte, error) {
			d, err := read()
			if err != nil {
				return nil, err
			}
			return d.JSON()
		})
		s.add("/docs/"+name+".md", markdown, func() ([]byte, error) {
			d, err := read()
			if err != nil {
				return nil, err
			}
			return describe(name, d)
		})
		s.add("/docs/"+name, html, func() ([]byte, error) { return s.reference(name) })
	}
}

// reference renders the page of a contract: Scalar, with the plain page for browsers without scripts.
func (s *Site) reference(name string) ([]byte, error) {
	d, err := openapi.Read(name, s.baseURL)
	if err != nil {
		return nil, err
	}
	source, err := describe(name, d)
	if err != nil {
		return nil, err
	}
	body, err := toHTML(source)
	if err != nil {
		return nil, err
	}
	links := []link{{"/docs/" + name + ".md", "Markdown"}, {"/openapi/" + name + ".yaml", "OpenAPI"}}
	for _, other := range openapi.Names() {
		if other != name {
			links = append(links, link{"/docs/" + other, other})
		}
	}
	return execute("reference", map[string]any{
		"Name": name, "Title": openapi.Text(d.Root, "info", "title"), "Body": body, "Scalar": scalarPath, "Links": links,
	})
}

// contracts lists the contracts.
func contracts() ([]entry, error) {
	var out []entry
	for _, name := range openapi.Names() {
		d, err := openapi.Read(name, "")
		if err != nil {
			return nil, err
		}
		out = append(out, entry{name, openapi.Text(d.Root, "info", "title"), openapi.Text(d.Root, "info", "summary")})
	}
	return out, nil
}

func (s *Site) index() ([]byte, error) {
	list, err := contracts()
	if err != nil {
		return nil, err
	}
	return execute("index", map[string]any{
		"Title": "Documentation", "Contracts": list, "Guides": guides(), "Console": s.console,
	})
}

// llms renders the index for language models, in the form of llmstxt.org.
func (s *Site) llms() ([]byte, error) {
	list, err := contracts()
	if err != nil {
		return nil, err
	}
	var out strings.Builder
	out.WriteString(
		"# Greenroom\n\n> The backend of an interview platform: jobs, candidates, interviews, and webhooks with durable " +
			"delivery.\n\n## Guides\n\n",
	)
	for _, g := range guides() {
		fmt.Fprintf(&out, "- [%s](%s/docs/guides/%s.md): %s\n", g.Title, s.baseURL, g.Name, g.Summary)
	}
	out.WriteString("\n## Contracts\n\n")
	for _, c := range list {
		fmt.Fprintf(&out, "- [%s](%s/docs/%s.md): %s\n", c.Title, s.baseURL, c.Name, c.Summary)
	}
	out.WriteString("\n## OpenAPI\n\n")
	for _, c := range list {
		fmt.Fprintf(&out, "- [%s.json](%s/openapi/%s.json): %s, OpenAPI 3.1\n", c.Name, s.baseURL, c.Name, c.Title)
	}
	fmt.Fprintf(
		&out,
		"\n## Optional\n\n- [Signature vectors](%s/docs/signature-vectors.json): signed deliveries, and forged ones\n",
		s.baseURL,
	)
	return []byte(out.String()), nil
}

func toHTML(source []byte) (template.HTML, error) {
	var out bytes.Buffer
	if err := converter.Convert(source, &out); err != nil {
		return "", err
	}
	return template.HTML(out.String()), nil //nolint:gosec // the renderer escapes HTML
}

func execute(name string, data any) ([]byte, error) {
	var out bytes.Buffer
	err := templates().ExecuteTemplate(&out, name, data)
	return out.Bytes(), err
}
