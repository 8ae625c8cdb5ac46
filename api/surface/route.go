package surface

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"
)

// Handler either answers a request or returns an error: an [Error], or any other that [Core.ToError] converts.
type Handler func(c *gin.Context) error

// Public is the scope of a route without authentication.
const Public = "public"

// Route is one line of a surface's table. Scope is what the key must hold: alternatives are separated by "|"; ""
// accepts any valid key, [Public] needs none. Path is the contract's path in gin's syntax, with ":name" for "{name}".
type Route struct {
	Method, Path, Scope string
	Handle              Handler
	recognizing, alone  bool
	// streams: neither the body nor the answer is held in memory.
	streams   bool
	byNetwork bool   // limited by the client's network
	maxBody   int64  // bytes; 0: a default
	weight    *int64 // bytes; nil: a default
	// list: Params are all accepted query parameters, except companyId.
	list   bool
	Params []string
}

// Get returns a GET route.
func Get(path, scope string, h Handler) Route { return line(http.MethodGet, path, scope, h) }

// List returns the GET route of a list with its query parameters. Unknown and repeated parameters are refused, because
// a client whose filter is ignored would mistake all rows for the matching ones.
func List(path, scope string, h Handler, params ...string) Route {
	r := line(http.MethodGet, path, scope, h)
	r.list, r.Params = true, params
	return r
}

// Post returns a POST route.
func Post(path, scope string, h Handler) Route { return line(http.MethodPost, path, scope, h) }

// Put returns a PUT route.
func Put(path, scope string, h Handler) Route { return line(http.MethodPut, path, scope, h) }

// Patch returns a PATCH route.
func Patch(path, scope string, h Handler) Route { return line(http.MethodPatch, path, scope, h) }

// Delete returns a DELETE route.
func Delete(path, scope string, h Handler) Route { return line(http.MethodDelete, path, scope, h) }

func line(method, path, scope string, h Handler) Route {
	return Route{Method: method, Path: path, Scope: scope, Handle: h}
}

// Recognizing returns the route with authentication by a remembered key. Its handler must confirm the key before it
// answers: see recognize.
func (r Route) Recognizing() Route {
	r.recognizing = true
	return r
}

// MaxBody returns the route with a limit for its bodies, in bytes. The default is [MaxBody], and 16 KiB for a route
// without authentication.
func (r Route) MaxBody(bytes int64) Route {
	r.maxBody = bytes
	return r
}

// Weighs returns the route with the size of its answers, in bytes, as far as they count for the memory of requests in
// progress. The default is 4 MiB for a list, 1 MiB for any other route with a key, and 0 without one.
func (r Route) Weighs(bytes int64) Route {
	r.weight = &bytes
	return r
}

// ByNetwork returns a route without a key with a limit of requests per minute and network.
func (r Route) ByNetwork() Route {
	r.byNetwork = true
	return r
}

// Streams returns the route without limits for bodies and answers: its handler holds neither in memory.
func (r Route) Streams() Route {
	r.streams = true
	return r
}

// IsList reports whether the route was made by [List].
func (r Route) IsList() bool { return r.list }

// checkQuery refuses an invalid query, which gin would drop in part, and parameters that a list does not accept.
func (r Route) checkQuery(raw string) error {
	if raw == "" {
		return nil
	}
	query, err := url.ParseQuery(raw)
	if err != nil {
		return &Error{Status: http.StatusBadRequest, Code: CodeValidation, Message: "The query is not valid"}
	}
	if !r.list {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(query)) {
		if name != companyParam && !slices.Contains(r.Params, name) {
			e := Invalid(Clip(name), Clip(name)+" is not a known query parameter")
			e.Details["allowed"] = append([]string{companyParam}, r.Params...)
			return e
		}
		if len(query[name]) > 1 {
			return Invalid(name, name+" is there twice")
		}
	}
	return nil
}

// companyParam is accepted on every route: it names the company that a platform key acts for. Other keys ignore it
// (reference §2.7).
const companyParam = "companyId"

// Alone returns the route without the surface's aliases.
func (r Route) Alone() Route {
	r.alone = true
	return r
}

// Style is the format of a surface's errors.
type Style struct {
	// Fail writes a refusal. The core has set the status headers that all surfaces share (Retry-After, X-RateLimit-*,
	// WWW-Authenticate).
	Fail func(c *gin.Context, e *Error)
	// Challenge is the WWW-Authenticate of a 401; "" for none.
	Challenge string
	// KeyIn shows how this product's clients send their key: "x-api-key: sk_…". A 401 recommends it. Every surface accepts
	// the headers of all products.
	KeyIn string
	// Cookie is the name of a cookie that may have the key of a request that has it in no header; "" for none.
	Cookie string
}

// Surface is one product's API.
type Surface struct {
	// Name is the name of its contract, api/openapi/<Name>.yaml; "" for pages, which have none.
	Name string
	// Prefixes are the paths at and below which this surface answers, unknown paths included. None: all paths that no
	// other surface has.
	Prefixes []string
	Aliases  []Alias
	Style    Style
	Routes   []Route
}

// hasHead reports whether the table has its own HEAD route for the path.
func (s *Surface) hasHead(path string) bool {
	return slices.ContainsFunc(s.Routes, func(r Route) bool { return r.Method == http.MethodHead && r.Path == path })
}

// Alias serves everything at and below a path at another one too: {Of: "", Also: "/v1"} serves "/webhooks" also as
// "/v1/webhooks".
type Alias struct{ Of, Also string }

// Addresses returns all paths at which a route of this surface is served, its own first.
func (s *Surface) Addresses(r Route) []string {
	paths := []string{r.Path}
	if r.alone {
		return paths
	}
	for _, a := range s.Aliases {
		for _, p := range paths { // the paths before this alias
			if rest, is := below(p, a.Of); is {
				paths = append(paths, a.Also+rest)
			}
		}
	}
	return paths
}

// Plain returns the path in the table for an address.
func (s *Surface) Plain(address string) string {
	for i := len(s.Aliases) - 1; i >= 0; i-- {
		if rest, is := below(address, s.Aliases[i].Also); is {
			address = s.Aliases[i].Of + rest
		}
	}
	return address
}

// below reports whether the path is at or below the prefix, and returns the rest of it.
func below(path, prefix string) (rest string, is bool) {
	rest, is = strings.CutPrefix(path, prefix)
	return rest, is && (rest == "" || rest[0] == '/')
}
