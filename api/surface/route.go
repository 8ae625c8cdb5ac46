package surface

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"
)

// Handler answers a request, or returns the error that it is refused with: an [Error], or any other that
// [Core.ToError] knows.
type Handler func(c *gin.Context) error

// Public is the scope of a route that asks for no key.
const Public = "public"

// Route is one line of a surface's table. Scope is what the key must hold: alternatives are separated by "|"; "" asks
// for a valid key only, [Public] for none. Path is gin's, as the surface's contract writes it, with ":name" for
// "{name}".
type Route struct {
	Method, Path, Scope string
	Handle              Handler
	recognizing, alone  bool
	// list: Params are all the query parameters that it takes, beside companyId.
	list   bool
	Params []string
}

// Get is a line of a table.
func Get(path, scope string, h Handler) Route { return line(http.MethodGet, path, scope, h) }

// List is the line of a list with the names of its query parameters. Other names, and one that is there twice, are
// refused: the caller of a filter that is passed over would take everything for what it asked for.
func List(path, scope string, h Handler, params ...string) Route {
	r := line(http.MethodGet, path, scope, h)
	r.list, r.Params = true, params
	return r
}

// Post is a line of a table.
func Post(path, scope string, h Handler) Route { return line(http.MethodPost, path, scope, h) }

// Put is a line of a table.
func Put(path, scope string, h Handler) Route { return line(http.MethodPut, path, scope, h) }

// Patch is a line of a table.
func Patch(path, scope string, h Handler) Route { return line(http.MethodPatch, path, scope, h) }

// Delete is a line of a table.
func Delete(path, scope string, h Handler) Route { return line(http.MethodDelete, path, scope, h) }

func line(method, path, scope string, h Handler) Route {
	return Route{Method: method, Path: path, Scope: scope, Handle: h}
}

// Recognizing is the route with a key taken as an earlier request has read it. Its handler must confirm the key
// before it answers: see recognize.
func (r Route) Recognizing() Route {
	r.recognizing = true
	return r
}

// IsList reports whether the route was made by [List].
func (r Route) IsList() bool { return r.list }

// checkQuery refuses a query that cannot be read, of which gin would drop a part, and of a list what it does not take.
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

// companyParam is taken everywhere: it says for which company a platform key acts, and other keys ignore it
// (reference §2.7).
const companyParam = "companyId"

// Alone is the route at its own path alone, without the surface's aliases.
func (r Route) Alone() Route {
	r.alone = true
	return r
}

// Style is how a surface's answers look.
type Style struct {
	// Fail writes a refusal. Status and headers that all surfaces share (Retry-After, X-RateLimit-*, WWW-Authenticate)
	// are set by the core; of e the style shows what its product shows.
	Fail func(c *gin.Context, e *Error)
	// Challenge is the WWW-Authenticate of a 401; "" for none.
	Challenge string
	// KeyIn is the header in which this product's clients send their key, as it is to be written: "x-api-key: sk_…". A
	// key is taken from every product's header on every surface; this is the one that a refusal recommends.
	KeyIn string
}

// Surface is one product's API.
type Surface struct {
	// Name is that of its contract, api/openapi/<Name>.yaml.
	Name string
	// Prefixes are the paths at and below which everything is answered in this surface's style, unknown paths too. None:
	// all that is no other surface's.
	Prefixes []string
	Aliases  []Alias
	Style    Style
	Routes   []Route
}

// hasHead reports whether the table has a HEAD of its own for a path.
func (s *Surface) hasHead(path string) bool {
	return slices.ContainsFunc(s.Routes, func(r Route) bool { return r.Method == http.MethodHead && r.Path == path })
}

// Alias is another address of everything at and below a path: {Of: "", Also: "/v1"} serves "/webhooks" as
// "/v1/webhooks" too.
type Alias struct{ Of, Also string }

// Addresses are all the paths at which a route of this surface is served, its own first.
func (s *Surface) Addresses(r Route) []string {
	paths := []string{r.Path}
	if r.alone {
		return paths
	}
	for _, a := range s.Aliases {
		for _, p := range paths { // as they are before this alias
			if rest, is := below(p, a.Of); is {
				paths = append(paths, a.Also+rest)
			}
		}
	}
	return paths
}

// Plain is the path of the table that an address stands for.
func (s *Surface) Plain(address string) string {
	for i := len(s.Aliases) - 1; i >= 0; i-- {
		if rest, is := below(address, s.Aliases[i].Also); is {
			address = s.Aliases[i].Of + rest
		}
	}
	return address
}

// below reports whether the path is at or below a prefix, and what follows it.
func below(path, prefix string) (rest string, is bool) {
	rest, is = strings.CutPrefix(path, prefix)
	return rest, is && (rest == "" || rest[0] == '/')
}
