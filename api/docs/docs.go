// Package docs is the documentation that the API serves: the contracts as pages and as files, guides, and forms of both
// for programs that read. Everything is part of the program and loads nothing from elsewhere. A page is rendered at its
// first request.
package docs

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Home is where "/" leads.
const Home = "/docs"

//go:embed pages.html reference.js signature-vectors.json guides/*.md scalar/*
var files embed.FS

// Site is the documentation of one server.
type Site struct {
	baseURL, console string
	pages            map[string]*page // by path
}

// New returns the documentation of the server at that URL ("": links are relative), whose console is at that path (""
// for none). It renders nothing yet.
func New(baseURL, console string) *Site {
	s := &Site{baseURL: baseURL, console: console, pages: map[string]*page{}}
	s.addContracts()
	s.addGuides()
	s.add("/docs", html, s.index)
	s.add("/llms.txt", markdown, s.llms)
	s.add("/docs/reference.js", javascript, file("reference.js"))
	s.add("/docs/signature-vectors.json", "application/json", file("signature-vectors.json"))
	s.add("/docs/scalar-license.txt", text, file("scalar/LICENSE"))
	s.pages[scalarPath] = &page{kind: javascript, forever: true, load: sync.OnceValues(func() (content, error) {
		compressed, err := files.ReadFile(scalarFile)
		return tagged(compressed), err
	})}
	return s
}

// Paths returns the paths of all pages, sorted.
func (s *Site) Paths() []string { return slices.Sorted(maps.Keys(s.pages)) }

// The program that shows a contract: Scalar's API reference, as its npm package @scalar/api-reference has it
// (dist/browser/standalone.js), compressed. The version is part of the path, so browsers keep it.
const (
	scalarVersion = "1.46.4"
	scalarFile    = "scalar/standalone-" + scalarVersion + ".js.gz"
	scalarPath    = "/docs/scalar-" + scalarVersion + ".js"
)

// Content types.
const (
	html       = "text/html; charset=utf-8"
	markdown   = "text/markdown; charset=utf-8"
	javascript = "text/javascript; charset=utf-8"
	text       = "text/plain; charset=utf-8"
)

// policy allows a page its own scripts, styles and requests, and nothing of other servers. Scalar sets styles inline.
const policy = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; " +
	"font-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// page is one file of the site.
type page struct {
	kind string
	// forever: the content of this path never changes.
	forever bool
	load    func() (content, error)
}

type content struct {
	compressed []byte
	// tag is weak, because it is the same for the compressed form and the plain one.
	tag string
}

func tagged(compressed []byte) content {
	sum := sha256.Sum256(compressed)
	return content{compressed, `W/"` + hex.EncodeToString(sum[:8]) + `"`}
}

func (s *Site) add(path, kind string, render func() ([]byte, error)) {
	s.pages[path] = &page{kind: kind, load: sync.OnceValues(func() (content, error) {
		body, err := render()
		if err != nil {
			return content{}, fmt.Errorf("render %s: %w", path, err)
		}
		var out bytes.Buffer
		w := gzip.NewWriter(&out)
		if _, err := w.Write(body); err != nil {
			return content{}, err
		}
		err = w.Close()
		return tagged(out.Bytes()), err
	})}
}

// file returns a renderer that reads a file of the program.
func file(name string) func() ([]byte, error) {
	return func() ([]byte, error) { return files.ReadFile(name) }
}

// Serve answers the request if its path is a page, and reports whether it is. Answers have an entity tag, and are
// compressed for clients that accept gzip.
func (s *Site) Serve(w http.ResponseWriter, r *http.Request) (found bool, err error) {
	p, found := s.pages[r.URL.Path]
	if !found {
		return false, nil
	}
	c, err := p.load()
	if err != nil {
		return true, err
	}
	h := w.Header()
	h.Set("Content-Type", p.kind)
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Etag", c.tag)
	h.Set("Vary", "Accept-Encoding")
	h.Set("Cache-Control", "no-cache")
	if p.forever {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	body := c.compressed
	if acceptsGzip(r) {
		h.Set("Content-Encoding", "gzip")
	} else if body, err = decompress(body); err != nil {
		return true, err
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
	return true, nil
}

func decompress(body []byte) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

// acceptsGzip reports whether the client names gzip with a weight other than 0.
func acceptsGzip(r *http.Request) bool {
	for _, values := range r.Header.Values("Accept-Encoding") {
		for value := range strings.SplitSeq(values, ",") {
			name, parameter, _ := strings.Cut(value, ";")
			weight, err := strconv.ParseFloat(strings.TrimPrefix(strings.TrimSpace(parameter), "q="), 64)
			if strings.EqualFold(strings.TrimSpace(name), "gzip") && (err != nil || weight > 0) {
				return true
			}
		}
	}
	return false
}
