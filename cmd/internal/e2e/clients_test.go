package e2e_test

import (
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"greenroom/api/client"
	"greenroom/api/openapi"
)

// TestGoClient makes a full round with the shipped client: create, publish, list, retry, test, bad input, delete.
func TestGoClient(t *testing.T) {
	s := setup(t)
	r := listen(t, nil)
	ctx := t.Context()
	c, err := client.New(s.url, s.key)
	require.NoError(t, err)

	made, err := c.CreateWebhookWithResponse(
		ctx,
		nil,
		client.WebhookInput{URL: r.URL, Events: client.Events("interview.started", "ping")},
	)
	require.NoError(t, err)
	require.NotNil(t, made.JSON201, string(made.Body))
	webhook := made.JSON201.Data
	require.Len(t, webhook.SigningSecret, 64)

	event, err := client.OneEvent(client.EventInput{Type: "interview.started", Data: map[string]any{"interviewId": "42"}})
	require.NoError(t, err)
	published, err := c.PublishEventWithResponse(ctx, nil, event)
	require.NoError(t, err)
	require.NotNil(t, published.JSON202, string(published.Body))

	list, err := c.ListDeliveriesWithResponse(ctx, &client.ListDeliveriesParams{WebhookID: &webhook.ID})
	require.NoError(t, err)
	require.NotNil(t, list.JSON200, string(list.Body))
	require.Len(t, list.JSON200.Data.Data, 1)
	id := list.JSON200.Data.Data[0].ID.String()
	delivered := func(generation int) func() bool {
		return func() bool {
			d, err := c.GetDeliveryWithResponse(ctx, id)
			require.NoError(t, err)
			require.NotNil(t, d.JSON200, string(d.Body))
			return d.JSON200.Data.Status == client.DeliveryStatusSucceeded && d.JSON200.Data.Generation == generation
		}
	}
	s.eventually(delivered(0), "the delivery succeeds")
	again, err := c.RetryDeliveryWithResponse(ctx, id)
	require.NoError(t, err)
	require.NotNil(t, again.JSON202, string(again.Body))
	s.eventually(delivered(1), "the retry succeeds")

	for _, body := range []client.TestInput{{}, {Type: new("interview.completed")}} {
		tested, err := c.TestWebhookWithResponse(ctx, webhook.ID.String(), body)
		require.NoError(t, err)
		require.NotNil(t, tested.JSON200, string(tested.Body))
		require.True(t, tested.JSON200.Data.Success)
	}

	feed, err := c.ListEventsWithResponse(ctx, &client.ListEventsParams{Types: new("interview.started"), Wait: new(20)})
	require.NoError(t, err)
	require.NotNil(t, feed.JSON200, string(feed.Body))
	require.Len(t, feed.JSON200.Data.Data, 1)

	bad, err := c.CreateWebhookWithResponse(
		ctx,
		nil,
		client.WebhookInput{URL: "not a URL", Events: client.Events("interview.started")},
	)
	require.NoError(t, err)
	require.Equal(t, http.StatusBadRequest, bad.StatusCode())
	require.NotNil(t, bad.JSON4XX, string(bad.Body))
	require.Equal(t, client.VALIDATIONERROR, bad.JSON4XX.Error.Code)

	gone, err := c.DeleteWebhookWithResponse(ctx, webhook.ID.String())
	require.NoError(t, err)
	require.Equal(t, http.StatusNoContent, gone.StatusCode())
}

// TestTypeScriptClients generates types from each contract with openapi-typescript, type-checks them with a program, and
// runs the program against the live API.
func TestTypeScriptClients(t *testing.T) {
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("TypeScript clients are not checked: %v", err)
		}
	}
	s := setup(t)
	r := listen(t, nil)
	dir := t.TempDir()
	write := func(name string, content []byte) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), content, 0o600))
	}
	run := func(env []string, program string, args ...string) string {
		ctx, cancel := context.WithTimeout(t.Context(), wait)
		defer cancel()
		cmd := exec.CommandContext(ctx, program, args...)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s %v\n%s", program, args, out)
		return string(out)
	}
	write("package.json", []byte(`{"private": true, "type": "module"}`))
	run(nil, "npm", "install", "--prefer-offline", "--no-audit", "--no-fund", "--no-save", "--ignore-scripts",
		"openapi-typescript@7.13.0", "openapi-fetch@0.17.0", "typescript@5.9.3", "@types/node@20.19.25")
	for _, name := range openapi.Names() {
		d, err := openapi.Read(name, s.url)
		require.NoError(t, err)
		raw, err := d.YAML()
		require.NoError(t, err)
		write(name+".yaml", raw)
		run(nil, "node_modules/.bin/openapi-typescript", name+".yaml", "-o", name+".ts", "--default-non-nullable", "false")
	}
	program, err := os.ReadFile("testdata/round.ts")
	require.NoError(t, err)
	write("round.ts", program)
	write("tsconfig.json", []byte(`{"compilerOptions": {"strict": true, "target": "es2022", "module": "es2022",
		"moduleResolution": "bundler", "types": ["node"], "skipLibCheck": true}}`))
	run(nil, "node_modules/.bin/tsc", "--project", ".")
	out := run([]string{"GREENROOM_URL=" + s.url, "GREENROOM_API_KEY=" + s.key, "RECEIVER=" + r.URL}, "node", "round.js")
	require.Contains(t, out, "round done")
}
