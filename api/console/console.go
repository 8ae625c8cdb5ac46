// Package console is the operator's web page: what the API does, for people, in the API's process.
//
// A page is a client of the API: it sends its requests to the mounted surfaces in this process (surface.Core.Inside),
// as the session's key, so a session sees and does nothing that its key cannot. The few figures that no route has come
// from functions of package delivery that take the same scope and read a bounded number of rows.
//
// Pages are rendered on the server and work without script. Every view is a link: the query has its whole state.
// The script refreshes the parts of a page that change, by fetching the same page again. The policy allows no inline
// script, no inline style and nothing from another host.
//
// The same pages at another prefix are the portal: a link restricts them to one company for an hour. Its token is in
// the path and not in a cookie, because browsers send no cookie of another site into a frame.
package console

import (
	"net/http"
	"slices"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/ulule/limiter/v3"
	"github.com/ulule/limiter/v3/drivers/store/memory"

	"greenroom/api/surface"
)

// Options configure the console.
type Options struct {
	// Disabled leaves out the pages and links to the portal.
	Disabled bool
	// TemporalUI is the URL of Temporal's web UI, without a slash at the end; "": no links to workflows.
	TemporalUI, TemporalNamespace string
	// Probes: an open circuit closes by itself after a probe, unless its webhook says otherwise.
	Probes bool
	// Version is that of the program.
	Version string
	// Settings are shown to sessions of platform keys.
	Settings []Setting
}

// Setting is a setting as it is in effect. A secret's value is not in it.
type Setting struct{ Name, Env, Value, Origin, Meaning string }

// Scope is what a key must hold to sign in to the console and to make links to the portal.
const Scope = "console"

// Path is where the console begins.
const Path = "/console"

const portalPath = "/portal"

type console struct {
	*surface.Core
	o       Options
	pages   map[string]*template
	started time.Time
	counts  limiter.Store
}

// New returns the pages as a surface without a contract.
func New(core *surface.Core, o Options) (surface.Surface, error) {
	pages, err := parsePages()
	if err != nil {
		return surface.Surface{}, err
	}
	c := &console{
		Core: core, o: o, pages: pages, started: time.Now(),
		counts: memory.NewStoreWithOptions(limiter.StoreOptions{
			Prefix: "console", CleanUpInterval: limiter.DefaultCleanUpInterval,
		}),
	}
	return surface.Surface{
		Prefixes: []string{Path, portalPath}, Routes: c.routes(), Style: surface.Style{Fail: c.fail},
	}, nil
}

// view is a page or an action of a signed-in visitor.
type view func(*visit) error

// line is one route of the console; operator: not in the portal.
type line struct {
	method, path string
	view         view
	operator     bool
}

func (c *console) lines() []line {
	get, post := http.MethodGet, http.MethodPost
	return []line{
		{get, "", c.overview, false},
		{get, "/deliveries", c.deliveries, false},
		{get, "/deliveries/:id", c.delivery, false},
		{post, "/deliveries/:id/retry", c.retry, false},
		{post, "/deliveries/:id/cancel", c.cancel, false},
		{get, "/webhooks", c.webhooks, false},
		{get, "/webhooks/:id", c.webhook, false},
		{post, "/webhooks/:id/test", c.test, false},
		{post, "/webhooks/:id/rotate-secret", c.rotate, false},
		{post, "/webhooks/:id/active", c.activate, false},
		{get, "/webhooks/:id/circuit", c.circuit, false},
		{post, "/webhooks/:id/reset-circuit", c.reset, false},
		{get, "/webhooks/:id/replays", c.replays, false},
		{post, "/webhooks/:id/replays", c.startReplay, false},
		{get, "/webhooks/:id/replays/:rid", c.replay, false},
		{post, "/webhooks/:id/replays/:rid/:change", c.changeReplay, false},
		{get, "/replays/:rid", c.findReplay, false},
		{get, "/events", c.events, false},
		{get, "/events/:id", c.event, false},
		{get, "/event-types/:name", c.eventType, false},
		{get, "/interviews", c.interviews, true},
		{get, "/interviews/:id", c.interview, true},
		{get, "/keys", c.keys, true},
		{get, "/audit", c.audit, true},
		{get, "/system", c.system, true},
	}
}

func (c *console) routes() []surface.Route {
	routes := []surface.Route{
		surface.Get(Path+"/sign-in", surface.Public, c.signInPage).ByNetwork(),
		surface.Post(Path+"/sign-in", surface.Public, c.signIn).ByNetwork(),
		surface.Post(Path+"/sign-out", surface.Public, c.signOut).ByNetwork(),
		surface.Get(Path+"/enter/:link", surface.Public, c.linkPage).ByNetwork(),
		surface.Post(Path+"/enter/:link", surface.Public, c.enter).ByNetwork(),
		surface.Get(Path+"/assets/:file", surface.Public, c.asset).ByNetwork(),
		surface.Get(Path+"/", surface.Public, toOverview).ByNetwork(),
	}
	for _, l := range c.lines() {
		route := surface.Get
		if l.method == http.MethodPost {
			route = surface.Post
		}
		routes = append(routes, route(Path+l.path, surface.Public, c.signedIn(l.view)))
		if !l.operator {
			routes = append(routes, route(portalPath+"/:token"+l.path, surface.Public, c.inPortal(l.view)))
		}
	}
	return routes
}

func toOverview(g *gin.Context) error {
	g.Redirect(http.StatusSeeOther, Path)
	return nil
}

// navigation are the pages that every page links to.
var navigation = []struct{ Name, Path, Scope string }{
	{"Overview", "", "read:deliveries|read:webhooks"},
	{"Deliveries", "/deliveries", "read:deliveries|read:webhooks"},
	{"Webhooks", "/webhooks", "read:webhooks"},
	{"Events", "/events", "read:events|read:webhooks"},
	{"Interviews", "/interviews", "read:interviews"},
	{"Keys", "/keys", "read:api-keys"},
	{"Audit", "/audit", "read:audit"},
	{"System", "/system", ""},
}

// operatorOnly are the pages of navigation that the portal does not have.
func operatorOnly(path string) bool {
	return slices.Contains([]string{"/interviews", "/keys", "/audit", "/system"}, path)
}

// pagePolicy is the Content-Security-Policy of every page, up to who may frame it.
const pagePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; " +
	"img-src 'self' data:; base-uri 'none'; form-action 'self'; frame-ancestors "

// guard sets the headers of every page. frames are the origins that may frame it; none: nobody.
func guard(c *gin.Context, frames string) {
	if frames == "" {
		frames = "'none'"
	}
	c.Header("Content-Security-Policy", pagePolicy+frames)
	c.Header("Referrer-Policy", "no-referrer") // the URL may be a credential
	c.Header("X-Content-Type-Options", "nosniff")
}
