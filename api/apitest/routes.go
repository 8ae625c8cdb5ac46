package apitest

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/require"

	"greenroom/api/openapi"
	"greenroom/api/surface"
)

var pathParameter = regexp.MustCompile(`:(\w+)`)

// CheckRoutes fails if a route of a surface is missing from its contract or has another scope there, or if a route of
// the contract is not served. Contracts without a surface must be valid.
func CheckRoutes(t *testing.T, surfaces []surface.Surface) {
	t.Helper()
	for i := range surfaces {
		t.Run(surfaces[i].Name, func(t *testing.T) { checkRoutes(t, &surfaces[i]) })
	}
	for _, name := range openapi.Names() {
		_, err := contractOf(name)
		require.NoError(t, err)
	}
}

func checkRoutes(t *testing.T, s *surface.Surface) {
	t.Helper()
	k, err := contractOf(s.Name)
	require.NoError(t, err)
	require.NotNil(t, k.doc.Components.Responses["Error"], "components.responses.Error says what every refusal looks like")
	promised := map[string]bool{}
	for path, item := range k.doc.Paths.Map() {
		for method := range item.Operations() {
			promised[method+" "+path] = true
		}
	}
	for _, r := range s.Routes {
		path := pathParameter.ReplaceAllString(r.Path, "{$1}")
		name := r.Method + " " + path
		t.Run(name, func(t *testing.T) {
			item := k.doc.Paths.Value(path)
			require.NotNil(t, item, "api/openapi/%s.yaml lacks the path", s.Name)
			op := item.GetOperation(r.Method)
			require.NotNil(t, op, "api/openapi/%s.yaml lacks the method", s.Name)
			require.Equal(t, r.Scope, scopeIn(op), "the security of the operation says another scope")
			checkParams(t, r, item, op)
			require.NotEmpty(t, op.Summary)
			require.NotEmpty(t, op.Description)
			require.NotEmpty(t, op.OperationID)
			require.NotEmpty(t, op.Tags, "the page shows operations by their tag")
			require.NotNil(t, k.doc.Tags.Get(op.Tags[0]), "its tag %s is not one of the contract's", op.Tags[0])
		})
		delete(promised, name)
		k.checkExample(t, pointer("paths", path, strings.ToLower(r.Method), "requestBody"))
	}
	require.Empty(t, promised, "routes of the contract that are not served")
	k.checkRefusals(t)
}

// checkExample fails if a JSON body of a request has no example, or one that its schema refuses.
func (k *contract) checkExample(t *testing.T, at string) {
	t.Helper()
	media, at, err := k.node(at + pointer("content", "application/json"))
	if err != nil {
		return // no body, or another type
	}
	require.Contains(t, media, "example", at)
	raw, err := json.Marshal(media["example"])
	require.NoError(t, err)
	require.NoError(t, k.matches(at+pointer("schema"), raw, true), at)
}

// checkRefusals fails if a shared response has no examples, or one that its schema refuses. Where the schema lists
// codes of errors, each has an example.
func (k *contract) checkRefusals(t *testing.T) {
	t.Helper()
	for name := range k.doc.Components.Responses {
		media, at, err := k.node(pointer("components", "responses", name, "content", "application/json"))
		if err != nil {
			continue // the answer of a receiver
		}
		examples, _ := media["examples"].(map[string]any)
		if e, found := media["example"]; found {
			examples = map[string]any{"": map[string]any{"value": e}}
		}
		require.NotEmpty(t, examples, at)
		for _, e := range examples {
			raw, err := json.Marshal(e.(map[string]any)["value"])
			require.NoError(t, err)
			require.NoError(t, k.matches(at+pointer("schema"), raw, true), at)
		}
		code, _, err := k.node(at + pointer("schema", "properties", "error", "properties", "code"))
		if codes, _ := code["enum"].([]any); err == nil && len(examples) > 1 {
			for _, c := range codes {
				require.Contains(t, examples, c)
			}
		}
	}
}

// checkParams fails if a list does not accept exactly the query parameters of its contract, or if a paged route is not
// a surface.List.
func checkParams(t *testing.T, r surface.Route, item *openapi3.PathItem, op *openapi3.Operation) {
	t.Helper()
	var promised []string
	for _, p := range slices.Concat(item.Parameters, op.Parameters) {
		if p.Value.In == openapi3.ParameterInQuery && p.Value.Name != "companyId" {
			promised = append(promised, p.Value.Name)
		}
	}
	if r.IsList() {
		require.ElementsMatch(t, promised, r.Params, "query parameters")
		return
	}
	for _, paged := range []string{"page", "page_size", "limit"} {
		require.NotContains(t, promised, paged, "a paged list is a surface.List")
	}
}

// scopeIn converts an operation's security to the route table's format: the first scope of each alternative. The
// handler requires the others, for further data that the operation shows. An operation without security accepts any
// key.
func scopeIn(op *openapi3.Operation) string {
	switch {
	case op.Security == nil:
		return ""
	case len(*op.Security) == 0:
		return surface.Public
	}
	var scopes []string
	for _, s := range *op.Security {
		if len(s["key"]) > 0 {
			scopes = append(scopes, s["key"][0])
		}
	}
	return strings.Join(scopes, "|")
}
