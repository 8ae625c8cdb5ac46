package apitest

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"greenroom/api/surface"
)

// Marker must be in a text of every row that a surface's tests create for the first company: an answer that has it
// shows another company's data.
const Marker = "planted by the first company"

// Foreign describes the routes of a surface for WalkForeign.
type Foreign struct {
	// Rows has, for each path that ends in a parameter, the parameter's value for a row of the first company:
	// {"/webhooks/:id": "01a1…", "/webhooks/:id/replays/:rid": "01a1…"}.
	Rows map[string]string
	// Open are paths whose parameters do not name a row.
	Open []string
	// Textless are paths whose rows have no text for the marker. The GET of all others must show the marker to the first
	// company.
	Textless []string
	// Bodies are the bodies of routes that check the body before the row, by method and path.
	Bodies map[string]any
	// Also are further calls that access rows of the first company, by the query or the body.
	Also []Call
}

// Call is one request.
type Call struct {
	Method, Target string
	Body           any
}

// WalkForeign calls every route of a surface, at every address, with the key of a company that does not own the rows
// named by the parameters. Each must refuse with 401, 403 or 404, show nothing of those rows and not modify them. A
// parameter without a value in Rows fails the test. Other rows may exist.
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
	if address != r.Path { // aliases only change the beginning
		target = aliased(target, r.Path, address)
	}
	body, given := f.Bodies[r.Method+" "+r.Path]
	if !given && r.Method != http.MethodGet && r.Method != http.MethodDelete {
		body = Object{}
	}
	call := Call{r.Method, target, body}
	if !strings.Contains(r.Path, ":") ||
		slices.Contains(f.Open, r.Path) { // names no row: may answer, with the caller's own data
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

// target replaces the parameters of a path by the rows' values.
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

// aliased replaces the beginning of a target by that of another address of its path.
func aliased(target, path, address string) string {
	end := 0 // length of the common suffix of path and address
	for end < len(path) && end < len(address) && path[len(path)-1-end] == address[len(address)-1-end] {
		end++
	}
	common := path[len(path)-end:]
	if i := strings.IndexByte(common, '/'); i > 0 { // whole segments
		common = common[i:]
	}
	begin, newBegin := strings.TrimSuffix(path, common), strings.TrimSuffix(address, common)
	return newBegin + strings.TrimPrefix(target, begin)
}
