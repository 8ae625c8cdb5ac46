package api_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
	"github.com/stretchr/testify/require"
)

var contractRouter = sync.OnceValues(func() (routers.Router, error) {
	raw, err := os.ReadFile("openapi/greenroom.yaml")
	if err != nil {
		return nil, err
	}
	doc, err := openapi3.NewLoader().LoadFromData(raw)
	if err != nil {
		return nil, err
	}
	if err := doc.Validate(context.Background()); err != nil {
		return nil, err
	}
	openapi3filter.RegisterBodyDecoder("text/html", openapi3filter.FileBodyDecoder) // a page is any text
	return gorillamux.NewRouter(doc)
})

// keepsContract requires an answer of a documented route to be as the contract says. Every answer of every test passes here;
// that every route is documented is another test's concern.
func keepsContract(t *testing.T, req *http.Request, rec *httptest.ResponseRecorder) {
	t.Helper()
	router, err := contractRouter()
	require.NoError(t, err)
	plain := req.Clone(req.Context())
	plain.URL.Path = strings.TrimPrefix(plain.URL.Path, "/v1")
	found, params, err := router.FindRoute(plain)
	if err != nil {
		return
	}
	in := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: plain, PathParams: params, Route: found},
		Status:                 rec.Code, Header: rec.Header(),
	}
	in.SetBodyBytes(rec.Body.Bytes())
	require.NoError(t, openapi3filter.ValidateResponse(t.Context(), in), "%s %s answered %d: %s", req.Method, req.URL, rec.Code, rec.Body)
}
