package webhook_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"greenroom/activities/webhook"
	"greenroom/activities/webhook/profiles"
)

// verifier checks a delivery in the two ways of receivers. A forged body must fail.
const verifier = `
const {Webhook} = require('standardwebhooks');
const crypto = require('crypto');
const assert = require('assert');
const c = JSON.parse(require('fs').readFileSync(0, 'utf8'));
for (const secret of c.whsec) {
  assert.deepStrictEqual(new Webhook(secret).verify(c.body, c.headers), JSON.parse(c.body));
  assert.throws(() => new Webhook(secret).verify(c.body + ' ', c.headers));
}
assert.throws(() => new Webhook(c.stranger).verify(c.body, c.headers));
const naive = c.headers['x-webhook-signature'];
if (c.profile === 'instaview') {
  const mac = crypto.createHmac('sha256', c.hex).update(c.body).digest('hex');
  assert.strictEqual(naive, 'sha256=' + mac);
} else {
  assert.strictEqual(naive, undefined);
}
if (c.profile === 'wiseway') {
  const [t, ...macs] = c.headers['x-wiseway-signature'].split(',').map((part) => part.split('='));
  const mac = crypto.createHmac('sha256', c.hex).update(t[1] + '.' + c.body).digest('hex');
  assert.ok(macs.some(([version, value]) => version === 'v1' && value === mac));
}
if (c.profile === 'wise') assert.strictEqual(c.headers.authorization, c.key);
process.stdout.write('verified');
`

// TestNodeLibraryVerifies sends each profile's delivery to a receiver and verifies what arrived with the reference
// library for Node, which refuses a timestamp older than a few minutes.
func TestNodeLibraryVerifies(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("TestReferenceLibraryVerifies checks the same with the library for Go")
	}
	dir := installNodeLibrary(t)
	for _, name := range profiles.Names() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			input, err := json.Marshal(arrived(t, name))
			require.NoError(t, err)
			require.Equal(t, "verified", runIn(t, dir, input, "node", "-e", verifier))
		})
	}
}

// arrived is one delivery as the receiver saw it, with the secrets that verify it.
func arrived(t *testing.T, profileName string) map[string]any {
	t.Helper()
	var body []byte
	headers := map[string]string{}
	b := setup(t, func(_ http.ResponseWriter, r *http.Request) {
		body, _ = io.ReadAll(r.Body)
		for name := range r.Header {
			headers[strings.ToLower(name)] = r.Header.Get(name)
		}
	})
	req := request(t, b.URL)
	req.Profile = profile(t, profileName)
	var err error
	req.Body, err = req.Profile.Render(message("ping", "ping", json.RawMessage(`{"message":"Zoë & <b>"}`)))
	require.NoError(t, err)
	req.Secrets = webhook.Secrets{testSecret(1), testSecret(2)}
	req.Key = webhook.KeyOf(testSecret(1), true)
	require.Equal(t, http.StatusOK, b.client.Send(t.Context(), req).StatusCode)
	return map[string]any{
		"profile": profileName, "body": string(body), "headers": headers,
		"whsec":    []string{webhook.SecretWhsec(testSecret(1)), webhook.SecretWhsec(testSecret(2))},
		"stranger": webhook.SecretWhsec(testSecret(3)), "hex": webhook.SecretHex(testSecret(1)),
		"key": req.Key,
	}
}

// installNodeLibrary installs the library in a temporary directory; npm keeps a cache between runs.
func installNodeLibrary(t *testing.T) string {
	t.Helper()
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("the reference library for Node is not checked: %v", err)
		}
	}
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "package.json"), []byte(`{"private":true}`), 0o600))
	runIn(t, dir, nil, "npm", "install", "--prefer-offline", "--no-audit", "--no-fund", "--no-save", "--ignore-scripts",
		"standardwebhooks@1.1.1")
	return dir
}

func runIn(t *testing.T, dir string, stdin []byte, program string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = dir
	cmd.Stdin = bytes.NewReader(stdin)
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		t.Fatalf("%s: %v\n%s", program, err, exit.Stderr)
	}
	require.NoError(t, err)
	return string(out)
}
