package surface_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"greenroom/api/surface"
	"greenroom/db/seal"
)

func newCore(t *testing.T) *surface.Core {
	t.Helper()
	core, err := surface.New(surface.Options{
		DB: &bun.DB{}, Box: &seal.Box{}, Secret: []byte("x"), CheckURL: func(string) error { return nil },
		Logger: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	return core
}

// styled refuses with its own name and the code.
func styled(name string) surface.Style {
	fail := func(c *gin.Context, e *surface.Error) { c.String(e.Status, name+" "+e.Code) }
	return surface.Style{Fail: fail, Challenge: name, KeyIn: "x-key: sk_…"}
}

func says(text string) surface.Handler {
	return func(c *gin.Context) error {
		c.String(http.StatusOK, text+c.Param("n"))
		return nil
	}
}

func call(h http.Handler, method, path string) *httptest.ResponseRecorder {
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, httptest.NewRequest(method, path, strings.NewReader("{}")))
	return rec
}

func TestMount(t *testing.T) {
	t.Parallel()
	h, err := newCore(t).Mount(
		surface.Surface{
			Name:    "first",
			Style:   styled("first"),
			Aliases: []surface.Alias{{Of: "/companies", Also: "/company"}, {Of: "", Also: "/v1"}},
			Routes: []surface.Route{
				surface.Get(
					"/companies/:n",
					surface.Public,
					says("one "),
				),
				surface.Get("/alone", surface.Public, says("alone")).Alone(),
				surface.Get("/keyed", "", says("keyed")),
				surface.Get("/broken", surface.Public, func(*gin.Context) error { panic("boom") }),
			},
		},
		surface.Surface{
			Name: "second", Prefixes: []string{"/api/v3"}, Style: styled("second"),
			Routes: []surface.Route{
				surface.Get(
					"/api/v3/things/",
					surface.Public,
					says("list"),
				),
				surface.Get("/api/v3/things/:n/", surface.Public, says("thing ")),
				surface.Get("/api/v3/keyed/", "", says("keyed")),
				surface.Get("/api/v3/broken/", surface.Public, func(*gin.Context) error { panic("boom") }),
			},
		},
	)
	require.NoError(t, err)
	for request, want := range map[string]string{
		"GET /companies/7": "200 one 7", "GET /company/7": "200 one 7", "GET /v1/companies/7": "200 one 7", "GET /v1/company/7": "200 one 7",
		"GET /v1/v1/companies/7": "404 first RESOURCE_NOT_FOUND", "GET /alone": "200 alone", "GET /v1/alone": "404 first RESOURCE_NOT_FOUND",
		"GET /api/v3/things/": "200 list", "GET /api/v3/things/7/": "200 thing 7",
		"GET /api/v3/things": "404 second RESOURCE_NOT_FOUND", "GET /api/v3/things/7": "404 second RESOURCE_NOT_FOUND",
		"GET /api/v3": "404 second RESOURCE_NOT_FOUND", "GET /api/v30": "404 first RESOURCE_NOT_FOUND", "GET /": "404 first RESOURCE_NOT_FOUND",
		"POST /api/v3/things/": "405 second METHOD_NOT_ALLOWED", "POST /companies/7": "405 first METHOD_NOT_ALLOWED",
		"GET /broken": "500 first INTERNAL_ERROR", "GET /api/v3/broken/": "500 second INTERNAL_ERROR",
		"GET /keyed": "401 first INVALID_API_KEY", "GET /api/v3/keyed/": "401 second INVALID_API_KEY",
	} {
		method, path, _ := strings.Cut(request, " ")
		rec := call(h, method, path)
		require.Equal(t, want, strconv.Itoa(rec.Code)+" "+rec.Body.String(), request)
		if rec.Code == http.StatusUnauthorized {
			require.Equal(t, strings.Fields(want)[1], rec.Header().Get("WWW-Authenticate"))
		}
	}
}

func TestPlainUndoesAddresses(t *testing.T) {
	t.Parallel()
	s := surface.Surface{Aliases: []surface.Alias{{Of: "/companies", Also: "/company"}, {Of: "", Also: "/v1"}}}
	for path, addresses := range map[string][]string{
		"/companies/:id": {"/companies/:id", "/company/:id", "/v1/companies/:id", "/v1/company/:id"},
		"/companiesx":    {"/companiesx", "/v1/companiesx"},
		"/jobs":          {"/jobs", "/v1/jobs"},
	} {
		require.Equal(t, addresses, s.Addresses(surface.Get(path, "", nil)))
		for _, a := range addresses {
			require.Equal(t, path, s.Plain(a))
		}
	}
}

func TestBindKnown(t *testing.T) {
	t.Parallel()
	type input struct {
		Name string `json:"name" validate:"required,max=3"`
	}
	for _, c := range []struct{ body, strict, known string }{
		{`{"name":"x"}`, "", ""},
		{`{"name":"x","more":{"deep":1}}`, "more is not a known field", ""},
		{`{"more":1}`, "more is not a known field", "name is required"},
		{`{"name":"long","more":1}`, "more is not a known field", "name must be at most 3 characters"},
		{`{"name":"x","name":"y"}`, "name is there twice", "name is there twice"},
	} {
		for want, bind := range map[string]func(*gin.Context) (input, error){
			"strict " + c.strict: surface.Bind[input], "known " + c.known: surface.BindKnown[input],
		} {
			ctx, _ := gin.CreateTestContext(httptest.NewRecorder())
			ctx.Request = httptest.NewRequest(http.MethodPost, "/", strings.NewReader(c.body))
			_, err := bind(ctx)
			_, message, _ := strings.Cut(want, " ")
			if message == "" {
				require.NoError(t, err)
				continue
			}
			var refused *surface.Error
			require.ErrorAs(t, err, &refused, c.body)
			require.Equal(t, message, refused.Message)
		}
	}
}

func TestPathNumber(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]int64{
		"1": 1, "9223372036854775807": 9223372036854775807, "0": 0, "-1": 0, "01": 0, "+1": 0, "1.0": 0, "x": 0, "9223372036854775808": 0, "": 0,
	} {
		ctx, _ := gin.CreateTestContext(httptest.NewRecorder())
		ctx.Params = gin.Params{{Key: "n", Value: raw}}
		n, err := surface.PathNumber(ctx, "n", "Thing")
		require.Equal(t, want, n, raw)
		require.Equal(t, want == 0, err != nil, raw)
	}
}
