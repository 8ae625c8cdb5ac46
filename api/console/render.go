package console

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	htmltemplate "html/template"
	"math"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"greenroom/api/surface"
)

//go:embed all:pages
var pageFiles embed.FS

//go:embed assets/console.css
var style []byte

//go:embed assets/console.js
var script []byte

//go:embed assets/icon.svg
var icon []byte

type template = htmltemplate.Template

// parsePages parses each page with the layout and the parts.
func parsePages() (map[string]*template, error) {
	shared, err := htmltemplate.New("").Funcs(helpers).ParseFS(pageFiles, "pages/_*.html")
	if err != nil {
		return nil, fmt.Errorf("parse the console's layout: %w", err)
	}
	files, err := pageFiles.ReadDir("pages")
	if err != nil {
		return nil, err
	}
	pages := map[string]*template{}
	for _, file := range files {
		name, _ := strings.CutSuffix(file.Name(), ".html")
		if name[0] == '_' {
			continue
		}
		own, err := shared.Clone()
		if err == nil {
			own, err = own.ParseFS(pageFiles, path.Join("pages", file.Name()))
		}
		if err != nil {
			return nil, fmt.Errorf("parse the console's page %s: %w", name, err)
		}
		pages[name] = own
	}
	return pages, nil
}

// render writes a whole page, or returns an error and has written nothing.
func (c *console) render(g *gin.Context, status int, name string, p page) error {
	p.Asset = assetVersion
	var out bytes.Buffer
	if err := c.pages[name].ExecuteTemplate(&out, "layout", p); err != nil {
		return fmt.Errorf("render page %s: %w", name, err)
	}
	g.Data(status, "text/html; charset=utf-8", out.Bytes())
	return nil
}

type asset struct {
	kind string
	body []byte
}

var assets = map[string]asset{
	"console.css": {"text/css; charset=utf-8", style},
	"console.js":  {"text/javascript; charset=utf-8", script},
	"icon.svg":    {"image/svg+xml", icon},
}

// assetVersion changes with the files, so that browsers keep them until then.
var assetVersion = func() string {
	sum := sha256.Sum256(bytes.Join([][]byte{style, script, icon}, nil))
	return hex.EncodeToString(sum[:6])
}()

func (c *console) asset(g *gin.Context) error {
	file, found := assets[g.Param("file")]
	if !found {
		return surface.NotFound("File", g.Param("file"))
	}
	guard(g, "")
	g.Header("Cache-Control", "public, max-age=31536000, immutable")
	g.Data(http.StatusOK, file.kind, file.body)
	return nil
}

var helpers = htmltemplate.FuncMap{
	"at":        at,
	"ago":       ago,
	"host":      host,
	"json":      pretty,
	"body":      func(sent string) string { return pretty([]byte(sent)) },
	"short":     short,
	"percent":   percent,
	"text":      text,
	"join":      strings.Join,
	"per":       perSecond,
	"number":    number,
	"number64":  func(n int) string { return number(int64(n)) },
	"megabytes": func(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) },
	"state":     stateOf,
	"span":      span,
	"query":     url.QueryEscape,
	"list":      func(all ...any) []any { return all },
}

// stamp is a time for a <time>: the script shows it in the reader's zone and keeps UTC beside it.
type stamp struct{ Machine, UTC, Ago string }

// at formats a time or a pointer to one; nil for none.
func at(t any) *stamp {
	var when time.Time
	switch t := t.(type) {
	case time.Time:
		when = t
	case *time.Time:
		if t != nil {
			when = *t
		}
	}
	if when.IsZero() {
		return nil
	}
	when = when.UTC()
	return &stamp{when.Format(time.RFC3339Nano), when.Format("2006-01-02 15:04:05") + " UTC", ago(when)}
}

// ago says how far a time is away: "3 m ago", "in 4 m".
func ago(t time.Time) string {
	d := time.Since(t)
	if d < 0 {
		return "in " + span(-d)
	}
	return span(d) + " ago"
}

// span formats a duration with one unit, or two from an hour on.
func span(d time.Duration) string {
	switch {
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d m", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h %d m", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%d d", int(d.Hours()/24))
}

func host(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return address
	}
	return u.Host
}

// pretty indents JSON; other text stays as it is.
func pretty(raw json.RawMessage) string {
	if len(raw) == 0 || string(raw) == "null" {
		return ""
	}
	var plain string
	if json.Unmarshal(raw, &plain) == nil {
		raw = []byte(plain)
	}
	var out bytes.Buffer
	if json.Indent(&out, raw, "", "  ") != nil {
		return string(raw)
	}
	return out.String()
}

// short is the end of an id, which differs between ids of the same time.
func short(id string) string {
	if len(id) > 8 {
		return "…" + id[len(id)-8:]
	}
	return id
}

func percent(part, whole int) string {
	if whole == 0 {
		return "–"
	}
	return fmt.Sprintf("%.1f %%", math.Floor(1000*float64(part)/float64(whole))/10)
}

func perSecond(rate float64) string {
	if rate < 10 {
		return fmt.Sprintf("%.2f/s", rate)
	}
	return fmt.Sprintf("%.0f/s", rate)
}

// number separates thousands.
func number(n int64) string {
	digits := fmt.Sprint(n)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + " " + digits[i:]
	}
	return digits
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// state is a status as a word and a shape; the colour only repeats it.
type state struct{ Shape, Word, Tone string }

// stateOf shows the state of a delivery, a replay, an interview or a circuit.
func stateOf(word any) state {
	if pointer, is := word.(*string); is {
		word = text(pointer)
	}
	s := state{Word: strings.ToLower(strings.ReplaceAll(fmt.Sprint(word), "_", " "))}
	switch s.Word {
	case "succeeded", "completed", "closed", "active", "ok":
		s.Shape, s.Tone = "●", "good"
	case "failed", "gone", "open", "revoked", "suspended", "problem":
		s.Shape, s.Tone = "✕", "bad"
	case "retrying", "retry", "releasing", "warning":
		s.Shape, s.Tone = "▲", "warn"
	case "paused", "inactive", "disabled":
		s.Shape, s.Tone = "‖", "warn"
	case "canceled", "cancelled", "expired", "skipped":
		s.Shape, s.Tone = "–", "off"
	default:
		s.Shape, s.Tone = "○", "busy"
	}
	return s
}
