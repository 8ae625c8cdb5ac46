package main_test

import (
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// requireLinksSignIn requires that commands beside the `greenroom dev` of dir end with a link that signs in once and
// opens their page, and that they work through its API without a key.
func requireLinksSignIn(t *testing.T, dir string) {
	t.Helper()
	run := func(args ...string) string {
		cmd := greenroom(t, args...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, string(out))
		return strings.TrimSpace(string(out))
	}
	printed := run("trigger", "interview.started")
	link, err := url.Parse(printed[strings.LastIndexByte(printed, '\n')+1:])
	require.NoError(t, err)
	page := link.Query().Get("next")
	require.Regexp(t, `^/console/events/[0-9a-f-]{36}$`, page)
	require.Contains(t, printed, strings.TrimPrefix(page, "/console/events/"))

	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	browser := &http.Client{Jar: jar}
	resp, err := browser.PostForm(link.String(), url.Values{"next": {page}})
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusOK, resp.StatusCode)
	require.Equal(t, page, resp.Request.URL.Path, "it has led to the event")

	require.Contains(t, run("keys", "list", "--url", link.Scheme+"://"+link.Host), "demo")
}
