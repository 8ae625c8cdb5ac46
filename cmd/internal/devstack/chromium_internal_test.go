package devstack

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestEnsureChromium(t *testing.T) {
	program := func(dir, name, script string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte("#!/bin/sh\n"+script), 0o755))
		return path
	}
	t.Run("finds_what_is_there", func(t *testing.T) {
		dir := t.TempDir()
		t.Setenv("PATH", dir)
		t.Setenv(chromiumVariable, "")
		want := program(dir, "google-chrome", "")
		require.Equal(t, want, ensureChromium(t.Context(), t.Output()))
		t.Setenv(chromiumVariable, "/opt/browser")
		require.Equal(t, "/opt/browser", ensureChromium(t.Context(), t.Output()), "the variable overrides the search")
	})
	t.Run("installs_it", func(t *testing.T) {
		dir := t.TempDir()
		t.Setenv("PATH", dir) // a browser of this machine is not found
		t.Setenv(chromiumVariable, "")
		require.NoError(t, os.Symlink("/bin/sh", filepath.Join(dir, "sh")))
		program(dir, "brew", `echo '#!/bin/sh' >"`+dir+`/chromium" && /bin/chmod +x "`+dir+`/chromium"`)
		require.Equal(t, filepath.Join(dir, "chromium"), ensureChromium(t.Context(), t.Output()))
	})
	t.Run("says_why_tests_are_skipped", func(t *testing.T) {
		dir := t.TempDir()
		t.Setenv("PATH", dir)
		t.Setenv(chromiumVariable, "")
		var log bytes.Buffer
		require.Empty(t, ensureChromium(t.Context(), &log))
		require.Contains(
			t,
			log.String(),
			"tests in a browser are skipped: Chromium is not installed and no known package manager",
		)
		program(dir, "brew", "echo no such package >&2; exit 1")
		require.NoError(t, os.Symlink("/bin/sh", filepath.Join(dir, "sh")))
		log.Reset()
		require.Empty(t, ensureChromium(t.Context(), &log))
		require.Contains(t, log.String(), "no such package")
	})
}
