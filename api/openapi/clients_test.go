package openapi_test

import (
	"bytes"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"greenroom/api/openapi"
)

var update = flag.Bool("update", false, "rewrite client.gen.go")

// generator is fetched and built by the go command, outside this module; it keeps both.
const generator = "github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen@v2.8.2"

// TestClientsAreGenerated generates a client from every contract and compiles it, and compares the shipped one,
// api/client, with what its contract gives; -update writes it.
func TestClientsAreGenerated(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("builds a generator")
	}
	tools := t.TempDir()
	install := exec.CommandContext(t.Context(), "go", "install", generator)
	install.Dir = tools
	install.Env = append(os.Environ(), "GOBIN="+tools, "GOFLAGS=")
	out, err := install.CombinedOutput()
	require.NoError(t, err, string(out))
	generate := func(t *testing.T, d *openapi.Document, config string) []byte {
		t.Helper()
		dir := t.TempDir()
		raw, err := d.YAML()
		require.NoError(t, err)
		contract, generated := filepath.Join(dir, "contract.yaml"), filepath.Join(dir, "client.gen.go")
		require.NoError(t, os.WriteFile(contract, raw, 0o600))
		run := exec.CommandContext(
			t.Context(),
			filepath.Join(tools, "oapi-codegen"),
			"-config",
			config,
			"-o",
			generated,
			contract,
		)
		out, err := run.CombinedOutput()
		require.NoError(t, err, string(out))
		out, err = exec.CommandContext(t.Context(), "go", "build", "-o", os.DevNull, generated).CombinedOutput()
		require.NoError(t, err, string(out))
		code, err := os.ReadFile(generated)
		require.NoError(t, err)
		return code
	}
	for _, name := range openapi.Names() {
		t.Run(name, func(t *testing.T) {
			d, err := openapi.Read(name, "")
			require.NoError(t, err)
			generate(t, d, "../client/any.yaml")
		})
	}
	t.Run("shipped", func(t *testing.T) {
		d, err := openapi.Read("greenroom", "")
		require.NoError(t, err)
		d.Remove("webhooks")
		code := generate(t, d, "../client/generate.yaml")
		if *update {
			require.NoError(t, os.WriteFile("../client/client.gen.go", code, 0o600))
		}
		shipped, err := os.ReadFile("../client/client.gen.go")
		require.NoError(t, err)
		require.True(t, bytes.Equal(code, shipped), "client.gen.go is not current: run `make clients`")
	})
}
