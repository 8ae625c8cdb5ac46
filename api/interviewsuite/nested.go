package interviewsuite

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"

	"greenroom/api/surface"
)

const (
	nestedParam = "nested"
	nestedKey   = "nested"
	// maxNested bounds the further rows of one answer; each costs as much as a request.
	maxNested = 50
)

// nests returns the routes with nested loading: ?nested=project,candidate embeds objects in place of their addresses.
// The reference says that some references support it (2.1), but not how it is requested. Answers of files and answers
// without a caller have none.
func (s *server) nests(routes []surface.Route) []surface.Route {
	for i, r := range routes {
		if r.Method != http.MethodGet || r.Scope == surface.Public || isFile(r.Path) {
			continue
		}
		s.nestable = append(s.nestable, addressForm(r.Path))
		routes[i].Handle = s.nesting(r.Handle)
		if r.IsList() {
			routes[i].Params = append(r.Params[:len(r.Params):len(r.Params)], nestedParam)
		}
	}
	return routes
}

// isFile reports whether a path of the table is that of a file.
func isFile(path string) bool {
	return strings.HasSuffix(path, "/file/") || strings.HasSuffix(path, "/photo/") || strings.HasSuffix(path, "/cv/")
}

var pathParameter = regexp.MustCompile(`:[a-z]+`)

// addressForm matches the addresses of a route.
func addressForm(path string) *regexp.Regexp {
	return regexp.MustCompile("^" + pathParameter.ReplaceAllString(path, "[0-9]+") + "$")
}

// nesting serves a route's answer with the references embedded that ?nested= names.
func (s *server) nesting(h surface.Handler) surface.Handler {
	return func(c *gin.Context) error {
		if names, err := surface.QueryText(c, nestedParam); err != nil {
			return err
		} else if names != "" {
			fields := slices.Compact(slices.Sorted(strings.SplitSeq(names, ",")))
			c.Set(nestedKey, &nested{server: s, c: c, fields: fields, loaded: map[string]json.RawMessage{}})
		}
		return h(c)
	}
}

// nested embeds references in one answer.
type nested struct {
	*server
	c      *gin.Context
	fields []string
	// loaded has what each address answers; nil: the caller cannot read it, so the address stays.
	loaded map[string]json.RawMessage
}

// embed returns the body with the references embedded, in a list in each of its objects.
func (n *nested) embed(body any) (any, error) {
	raw, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	var one map[string]json.RawMessage
	if err := json.Unmarshal(raw, &one); err != nil {
		return nil, fmt.Errorf("read answer: %w", err)
	}
	if one["objects"] == nil {
		return one, n.embedIn(one)
	}
	var all []map[string]json.RawMessage
	if err := json.Unmarshal(one["objects"], &all); err != nil {
		return nil, fmt.Errorf("read answer: %w", err)
	}
	for _, o := range all {
		if err := n.embedIn(o); err != nil {
			return nil, err
		}
	}
	return map[string]any{"meta": one["meta"], "objects": all}, nil
}

func (n *nested) embedIn(object map[string]json.RawMessage) error {
	for _, field := range n.fields {
		var err error
		if object[field], err = n.embedded(field, object[field]); err != nil {
			return err
		}
	}
	return nil
}

// embedded returns what a field refers to: one object, or a list of them.
func (n *nested) embedded(field string, value json.RawMessage) (json.RawMessage, error) {
	var address *string
	if len(value) > 0 && json.Unmarshal(value, &address) == nil {
		if address == nil || *address == "" { // refers to nothing
			return value, nil
		}
		return n.load(field, *address, value)
	}
	var list []json.RawMessage
	if json.Unmarshal(value, &list) != nil {
		return nil, notReference(field)
	}
	for i := range list {
		var one string
		if json.Unmarshal(list[i], &one) != nil {
			return nil, notReference(field)
		}
		var err error
		if list[i], err = n.load(field, one, list[i]); err != nil {
			return nil, err
		}
	}
	return json.Marshal(list)
}

func notReference(field string) error {
	return surface.Invalid(nestedParam, surface.Clip(field)+" is not a reference of this resource")
}

// load returns the object at an address of this server as the caller may read it, else the address.
func (n *nested) load(field, address string, value json.RawMessage) (json.RawMessage, error) {
	path, ours := strings.CutPrefix(address, n.PublicURL)
	if !ours || !n.isNestable(path) {
		return nil, notReference(field)
	}
	found, known := n.loaded[path]
	if !known {
		if len(n.loaded) == maxNested {
			return nil, surface.Invalid(
				nestedParam,
				fmt.Sprintf("One answer embeds at most %d objects: use page_size", maxNested),
			)
		}
		a, err := n.Inside(n.c, surface.Caller(n.c), http.MethodGet, path, nil)
		if err != nil {
			return nil, err
		}
		if a.Status == http.StatusOK {
			found = a.Body
		}
		n.loaded[path] = found
	}
	if found == nil {
		return value, nil
	}
	return found, nil
}

func (n *nested) isNestable(path string) bool {
	for _, form := range n.nestable {
		if form.MatchString(path) {
			return true
		}
	}
	return false
}
