package surface_test

import (
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"greenroom/api/apitest"
	"greenroom/api/surface"
	"greenroom/db"
)

var parameter = regexp.MustCompile(`:\w+`)

// TestRoutes_refuse_a_key_without_their_scope calls every route of every surface, at every address, with a key that has
// all scopes but the route's. The refusal comes before the row is looked for, so it does not reveal whether one exists.
func TestRoutes_refuse_a_key_without_their_scope(t *testing.T) {
	t.Parallel()
	b := apitest.Setup(t)
	keys := map[string]string{} // by the scopes that they lack
	keyWithout := func(missing string) string {
		if keys[missing] == "" {
			var others []string
			for _, scope := range db.Scopes() {
				if scope != db.AllScopes && !strings.Contains("|"+missing+"|", "|"+scope+"|") {
					others = append(others, scope)
				}
			}
			keys[missing], _ = b.NewKey(&b.Company, others...)
		}
		return keys[missing]
	}
	calls := 0
	for _, s := range b.Handler.Surfaces() {
		for _, r := range s.Routes {
			if r.Scope == "" || r.Scope == surface.Public {
				continue
			}
			for _, address := range s.Addresses(r) {
				var body any
				if r.Method != http.MethodGet && r.Method != http.MethodDelete && r.Method != http.MethodHead {
					body = apitest.Object{}
				}
				got := b.As(keyWithout(r.Scope), r.Method, parameter.ReplaceAllString(address, "1"), body)
				require.Equal(t, http.StatusForbidden, got.Status, "%s %s: %s", r.Method, address, got.Body)
				got = b.As("", r.Method, parameter.ReplaceAllString(address, "1"), body)
				require.Equal(t, http.StatusUnauthorized, got.Status, "%s %s: %s", r.Method, address, got.Body)
				calls++
			}
		}
	}
	require.Greater(t, calls, 100, "the routes of all surfaces")
}
