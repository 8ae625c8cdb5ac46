package api

import (
	"regexp"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/require"
)

var pathParameter = regexp.MustCompile(`:(\w+)`)

// TestContractIsComplete fails when a route of the table is missing from the contract, or asks for another scope there, or
// when the contract promises a route that is not there.
func TestContractIsComplete(t *testing.T) {
	t.Parallel()
	doc, err := openapi3.NewLoader().LoadFromData(contract)
	require.NoError(t, err)
	require.NoError(t, doc.Validate(t.Context()))
	promised := map[string]bool{}
	for path, item := range doc.Paths.Map() {
		for method := range item.Operations() {
			promised[method+" "+path] = true
		}
	}
	for _, r := range (&server{}).routes() {
		path := pathParameter.ReplaceAllString(r.path, "{$1}")
		name := r.method + " " + path
		t.Run(name, func(t *testing.T) {
			item := doc.Paths.Value(path)
			require.NotNil(t, item, "api/openapi/greenroom.yaml lacks the path")
			op := item.GetOperation(r.method)
			require.NotNil(t, op, "api/openapi/greenroom.yaml lacks the method")
			require.Equal(t, r.scope, scopeIn(op), "the security of the operation says another scope")
			require.NotEmpty(t, op.Summary)
			require.NotEmpty(t, op.OperationID)
		})
		delete(promised, name)
	}
	require.Empty(t, promised, "routes of the contract that are not served")
}

// scopeIn writes an operation's security as the route table does: the first scope of each alternative. The ones after it are
// asked for by the handler, for what else the operation shows.
func scopeIn(op *openapi3.Operation) string {
	if op.Security != nil && len(*op.Security) == 0 {
		return public
	}
	var scopes []string
	for _, s := range *op.Security {
		scopes = append(scopes, s["key"][0])
	}
	return strings.Join(scopes, "|")
}

func TestDocs(t *testing.T) {
	t.Parallel()
	page, err := renderDocs()
	require.NoError(t, err)
	text := string(page)
	require.Contains(t, text, `<article id="createWebhook">`)
	require.Contains(t, text, "Scope: <code>read:deliveries or read:webhooks</code>")
	require.Contains(t, text, `<article id="schema-Webhook">`)
	require.NotContains(t, text, "<script")
	require.NotRegexp(t, `(src|href)="(https?:)?//`, text, "nothing is loaded from elsewhere")
}
