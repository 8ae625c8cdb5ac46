package apitest

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"greenroom/api/surface"
)

// Marker is to be in a text of every row that a surface's tests plant: an answer with it has another company's data
// in it.
const Marker = "planted by the first company"

// Foreign is what a surface says of its routes, so that WalkForeign can call all of them.
type Foreign struct {
	// Rows has, for each path up to and with a parameter, that parameter's value for a row of the first company:
	// {"/webhooks/:id": "01a1…", "/webhooks/:id/replays/:rid": "01a1…"}.
	Rows map[string]string
	// Open are paths with parameters that name no row.
	Open []string
	// Textless are paths whose rows have no text for the marker. The GET of all others must show it to the first company.
	Textless []string
	// Bodies are what a route asks for before it looks at the row, by method and path.
	Bodies map[string]any
	// Also are further calls that reach for rows of the first company: by the query, or by a body.
	Also []Call
}

// Call is one request.
type Call struct {
	Method, Target string
	Body           any
}

// WalkForeign calls every route of a surface, at every address, with the key of another company than the one whose
// rows the parameters name. Each must refuse with 401, 403 or 404 and show nothing of those rows, and nothing of
// theirs may be changed. A route with a parameter that Rows does not know fails. The bundle's other rows may be of
// any number.
func WalkForeign(t *testing.T, b *Bundle, name string, f Foreign) {
	t.Helper()
	i := slices.IndexFunc(b.Handler.Surfaces(), func(s surface.Surface) bool { return s.Name == name })
	require.GreaterOrEqual(t, i, 0, "no surface %s", name)
	s := b.Handler.Surfaces()[i]
	before := b.rowsOf(t, b.Company)
	require.NotEmpty(t, before)
	for _, r := range s.Routes {
		for _, address := range s.Addresses(r) {
			t.Run(r.Method+" "+address, func(t *testing.T) { f.walk(t, b, r, address) })
		}
	}
	for _, c := range f.Also {
		t.Run(c.Method+" "+c.Target, func(t *testing.T) { refused(t, b, c, append(statuses(), http.StatusBadRequest)...) })
	}
	require.Equal(t, before, b.rowsOf(t, b.Company), "rows of the first company were changed")
}

func statuses() []int {
	return []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound}
}

func (f *Foreign) walk(t *testing.T, b *Bundle, r surface.Route, address string) {
	t.Helper()
	target, known := f.target(r.Path)
	require.True(t, known, "no row is registered for a parameter of this path")
	if address != r.Path { // aliases change the beginning alone
		target = aliased(target, r.Path, address)
	}
	body, given := f.Bodies[r.Method+" "+r.Path]
	if !given && r.Method != http.MethodGet && r.Method != http.MethodDelete {
		body = Object{}
	}
	call := Call{r.Method, target, body}
	if !strings.Contains(r.Path, ":") ||
		slices.Contains(f.Open, r.Path) { // no row is named: it may answer, but with its own
		response := b.As(b.OtherKey, call.Method, call.Target, call.Body)
		require.Less(t, response.Status, http.StatusInternalServerError)
		require.NotContains(t, string(response.Body), Marker)
		return
	}
	refused(t, b, call, statuses()...)
	if r.Method == http.MethodGet && r.Scope != surface.Public {
		own := b.As(b.Key, call.Method, call.Target, nil)
		require.Equal(t, http.StatusOK, own.Status, "its own company must see it, or the walk shows nothing: %s", own.Body)
		if !slices.Contains(f.Textless, r.Path) {
			require.Contains(t, string(own.Body), Marker, "plant the marker in a text of this row")
		}
	}
}

func refused(t *testing.T, b *Bundle, c Call, allowed ...int) {
	t.Helper()
	r := b.As(b.OtherKey, c.Method, c.Target, c.Body)
	require.Contains(t, allowed, r.Status, "%s %s with a foreign key: %s", c.Method, c.Target, r.Body)
	require.NotContains(t, string(r.Body), Marker)
}

// target puts the rows' parameters into a path.
func (f *Foreign) target(path string) (target string, known bool) {
	steps := strings.Split(path, "/")
	out := slices.Clone(steps)
	for i, step := range steps {
		if !strings.HasPrefix(step, ":") {
			continue
		}
		value, found := f.Rows[strings.Join(steps[:i+1], "/")]
		if !found && !slices.Contains(f.Open, path) {
			return "", false
		}
		out[i] = value
	}
	return strings.Join(out, "/"), true
}

// aliased gives a target of that path the beginning of another address of the path.
func aliased(target, path, address string) string {
	end := 0 // of what path and address have in common at their ends
	for end < len(path) && end < len(address) && path[len(path)-1-end] == address[len(address)-1-end] {
		end++
	}
	common := path[len(path)-end:]
	if i := strings.IndexByte(common, '/'); i > 0 { // whole steps
		common = common[i:]
	}
	begin, newBegin := strings.TrimSuffix(path, common), strings.TrimSuffix(address, common)
	return newBegin + strings.TrimPrefix(target, begin)
}
