package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestPromisesHaveTests checks that each test named in SECURITY.md exists, and that each promise names one.
func TestPromisesHaveTests(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../.github/SECURITY.md")
	require.NoError(t, err)
	exist := testsOf(t, "../..")
	promises := 0
	for line := range strings.Lines(string(text)) {
		promise, tests, isRow := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "| "), " | ")
		if !isRow || promise == "promise" {
			continue
		}
		promises++
		named := regexp.MustCompile("`((?:Test|Fuzz)\\w+)`").FindAllStringSubmatch(tests, -1)
		assert.NotEmpty(t, named, promise)
		for _, n := range named {
			assert.True(t, exist[n[1]], "%s: there is no %s", promise, n[1])
		}
	}
	require.Greater(t, promises, 15)
}

func testsOf(t *testing.T, root string) map[string]bool {
	t.Helper()
	exist := map[string]bool{}
	form := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	require.NoError(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != root && strings.HasPrefix(d.Name(), "."):
			return fs.SkipDir
		case !strings.HasSuffix(path, "_test.go"):
			return nil
		}
		source, err := os.ReadFile(path)
		for _, m := range form.FindAllSubmatch(source, -1) {
			exist[string(m[1])] = true
		}
		return err
	}))
	return exist
}
