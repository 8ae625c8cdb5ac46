package console

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"greenroom/api/surface"
)

// visit is one request of a signed-in visitor.
type visit struct {
	*console
	c      *gin.Context
	who    surface.Principal
	base   string // of links: the console's path, or the portal's with its token
	portal bool
}

// page is what every template gets.
type page struct {
	Title string
	Base  string // "": nobody is signed in
	Nav   []link
	// Who names the session.
	Who    string
	Portal bool
	// Live: the page refreshes its changing parts.
	Live bool
	// Done says what an action has just done.
	Done string
	// Refresh is the address of the page that the browser loads next; "": none.
	Refresh string
	// Asset is the version of style and script in their addresses.
	Asset string
	Body  any
}

type link struct {
	Name, URL string
	Here      bool
}

// show renders a page of the visit.
func (v *visit) show(name, title string, live bool, body any) error {
	return v.showStatus(http.StatusOK, name, title, live, body)
}

func (v *visit) showStatus(status int, name, title string, live bool, body any) error {
	p := page{Title: title, Base: v.base, Portal: v.portal, Live: live, Who: v.whoIs(), Body: body}
	p.Done = done[v.c.Query("done")]
	for _, n := range navigation {
		if v.sees(n.Path, n.Scope) {
			here := v.base+n.Path == v.c.Request.URL.Path ||
				n.Path != "" && strings.HasPrefix(v.c.Request.URL.Path, v.base+n.Path+"/")
			p.Nav = append(p.Nav, link{n.Name, v.base + n.Path, here})
		}
	}
	return v.render(v.c, status, name, p)
}

func (v *visit) sees(path, scope string) bool {
	if v.portal && operatorOnly(path) || path == "/system" && !v.who.Platform() {
		return false
	}
	return scope == "" || v.holds(scope)
}

func (v *visit) holds(scope string) bool {
	return slices.ContainsFunc(strings.Split(scope, "|"), v.who.Holds)
}

// need refuses a view whose figures no route of the API has, as the API refuses a route.
func (v *visit) need(scope string) error {
	if v.holds(scope) {
		return nil
	}
	first, _, _ := strings.Cut(scope, "|")
	return &surface.Error{
		Status: http.StatusForbidden, Code: surface.CodeScope,
		Message: "This API key does not have the required scope: " + first,
	}
}

func (v *visit) whoIs() string {
	switch {
	case v.portal:
		return "Portal"
	case v.who.Platform():
		return cmp.Or(v.who.Person, v.who.Key.Name) + " · all companies"
	}
	return cmp.Or(v.who.Person, v.who.Key.Name)
}

// get reads a route of the API into a value.
func (v *visit) get(target string, into any) error { return v.call(http.MethodGet, target, nil, into) }

// post sends a body to a route of the API. into may be nil.
func (v *visit) post(target string, body, into any) error {
	return v.call(http.MethodPost, target, body, into)
}

// call sends a request to the API and returns its refusal. A row of another company is "not found": a page does not
// tell that it exists.
func (v *visit) call(method, target string, body, into any) error {
	var raw []byte
	if body != nil {
		var err error
		if raw, err = json.Marshal(body); err != nil {
			return err
		}
	}
	return v.send(method, target, raw, into)
}

// send is call with a body that is sent byte for byte, and with headers: alternating names and values.
func (v *visit) send(method, target string, raw []byte, into any, headers ...string) error {
	a, err := v.Inside(v.c, v.who, method, target, raw, headers...)
	if err != nil {
		return err
	}
	var answer struct {
		Data    json.RawMessage `json:"data"`
		Error   json.RawMessage `json:"error"`
		Message string          `json:"message"`
	}
	if len(a.Body) > 0 {
		if err := json.Unmarshal(a.Body, &answer); err != nil {
			return fmt.Errorf("read the answer of %s %s: %w", method, target, err)
		}
	}
	if a.Status < http.StatusMultipleChoices {
		if into == nil {
			return nil
		}
		return json.Unmarshal(answer.Data, into)
	}
	refused := surface.Error{Message: answer.Message}
	_ = json.Unmarshal(answer.Error, &refused) // a 429 has a text there, and its message outside
	if refused.Status = a.Status; refused.Code == surface.CodeDenied {
		return surface.NotFound("Page", v.c.Request.URL.Path)
	}
	return &refused
}

// is reports whether err is a refusal with that status.
func is(err error, status int) bool {
	refused, known := err.(*surface.Error) //nolint:errorlint // call does not wrap it
	return known && refused.Status == status
}

// done are the texts after an action; the query names one of them.
var done = map[string]string{
	"retry":      "The delivery is sent again.",
	"cancel":     "The delivery is canceled.",
	"reset":      "The circuit is closed. Paused deliveries follow, slowly at first.",
	"activate":   "The webhook is active.",
	"deactivate": "The webhook is inactive. Its deliveries wait.",
	"replay":     "The replay runs.",
	"publish":    "The event is accepted. Its deliveries follow.",
	"pause":      "The replay is paused.",
	"resume":     "The replay runs again.",
	"canceled":   "The replay is canceled. What it has sent again stays sent.",
}

// then leads from an action to the page that shows its effect.
func (v *visit) then(path, what string) error {
	to := v.base + path
	switch {
	case what != "" && strings.Contains(path, "?"):
		to += "&done=" + url.QueryEscape(what)
	case what != "":
		to += "?done=" + url.QueryEscape(what)
	}
	v.c.Redirect(http.StatusSeeOther, to)
	return nil
}

// workflow links to a workflow in Temporal's web UI; "" where there is none.
func (v *visit) workflow(id string) string {
	if v.portal || v.o.TemporalUI == "" || id == "" {
		return ""
	}
	return v.o.TemporalUI + "/namespaces/" + url.PathEscape(v.o.TemporalNamespace) + "/workflows/" + url.PathEscape(id)
}

// action is a button, with the same action for a program.
type action struct {
	Label string
	URL   string // of the console
	Curl  string
	CLI   string // "": the command line has none
	// Warn is what to know before: the button is behind it.
	Warn   string
	Fields []field
	// Off: the session's key may not do it.
	Off bool
}

// field is a hidden field of an action's form.
type field struct{ Name, Value string }

// act returns the action at a path of the console that calls a route of the API.
func (v *visit) act(label, path, method, route, body, cli string) action {
	curl := fmt.Sprintf("curl -X %s %s%s -H \"Authorization: Bearer $GREENROOM_API_KEY\"", method, v.PublicURL, route)
	if body != "" {
		curl += " -H 'Content-Type: application/json' -d " + quoted(body)
	}
	return action{Label: label, URL: v.base + path, Curl: curl, CLI: cli}
}

// quoted is a text as one word of a shell.
func quoted(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

func (a action) warn(text string) action {
	a.Warn = text
	return a
}

func (a action) unless(allowed bool) action {
	a.Off = !allowed
	return a
}

// fail shows a refusal as a page.
func (c *console) fail(g *gin.Context, e *surface.Error) {
	guardOnce(g)
	p := page{Title: "Error", Body: refusal{
		Status: e.Status, Title: http.StatusText(e.Status), Message: e.Message, Field: e.Field(),
		RequestID: surface.RequestID(g),
	}}
	if e.Status == http.StatusNotFound {
		p.Title = "Not found"
	}
	if strings.HasPrefix(g.Request.URL.Path, Path) && e.Status != http.StatusUnauthorized {
		p.Base = Path
	}
	if err := c.render(g, e.Status, "error", p); err != nil {
		g.String(http.StatusInternalServerError, "The page cannot be shown")
	}
}

// guardOnce sets the headers of a page that was refused before its handler did.
func guardOnce(g *gin.Context) {
	if g.Writer.Header().Get("Content-Security-Policy") == "" {
		guard(g, "")
	}
}

type refusal struct {
	Status                           int
	Title, Message, Field, RequestID string
}

// since returns the past time of a period such as "24h"; zero for another text.
func since(period string, now time.Time) time.Time {
	d, known := map[string]time.Duration{
		"15m": 15 * time.Minute, "1h": time.Hour, "24h": 24 * time.Hour, "7d": 7 * 24 * time.Hour,
	}[period]
	if !known {
		return time.Time{}
	}
	return now.Add(-d)
}

// moment reads a time of a form, "2026-01-02T15:04" in UTC, as the API takes it; other texts stay as they are.
func moment(text string) string {
	for _, layout := range []string{"2006-01-02T15:04", "2006-01-02T15:04:05"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC().Format(time.RFC3339)
		}
	}
	return text
}
