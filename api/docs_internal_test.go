package api

import (
	"testing"

	"github.com/stretchr/testify/require"

	"greenroom/api/openapi"
)

func TestDocs(t *testing.T) {
	t.Parallel()
	all, err := renderDocs()
	require.NoError(t, err)
	for _, name := range openapi.Names() {
		text := string(all.pages[name])
		require.Contains(t, text, `href="/openapi/`+name+`.yaml"`)
		require.Contains(t, string(all.index), `href="/docs/`+name+`"`)
	}
	page := string(all.pages["greenroom"])
	require.Contains(t, page, `<article id="createWebhook">`)
	require.Contains(t, page, "Scope: <code>read:deliveries or read:webhooks</code>")
	require.Contains(t, page, `<article id="schema-Webhook">`)
	for _, text := range append([]string{string(all.index)}, page) {
		require.NotContains(t, text, "<script")
		require.NotRegexp(t, `(src|href)="(https?:)?//`, text, "nothing is loaded from elsewhere")
	}
}
