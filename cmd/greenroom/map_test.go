package main

import (
	"os"
	"os/exec"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestTheMapIsTrue compares the table of packages in CONTRIBUTING.md with their imports. Where several packages share a
// row, each may import fewer packages than the row names.
func TestTheMapIsTrue(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../CONTRIBUTING.md")
	require.NoError(t, err)
	stated := map[string][]string{}
	shared := map[string]bool{}
	quoted := regexp.MustCompile("`([^`]+)`")
	rows := regexp.MustCompile("(?m)^\\| (`.*) \\| .* \\| (.*) \\|$")
	for _, row := range rows.FindAllStringSubmatch(string(text), -1) {
		packages := quoted.FindAllStringSubmatch(row[1], -1)
		for _, p := range packages {
			stated[p[1]], shared[p[1]] = []string{}, len(packages) > 1
			if row[2] == "everything below" {
				stated[p[1]] = nil
			}
			for _, known := range quoted.FindAllStringSubmatch(row[2], -1) {
				stated[p[1]] = append(stated[p[1]], known[1])
			}
		}
	}

	list := exec.CommandContext(t.Context(), "go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, "greenroom/...")
	list.Dir = "../.."
	out, err := list.Output()
	require.NoError(t, err)
	for _, line := range strings.Split(strings.TrimSpace(string(out)), "\n") {
		words := strings.Fields(strings.ReplaceAll(line, "greenroom/", ""))
		known, found := stated[words[0]]
		if !assert.True(t, found, "CONTRIBUTING.md has no row for %s", words[0]) || known == nil {
			continue
		}
		imports := slices.DeleteFunc(words[1:], func(p string) bool { return !inModule(p) })
		for _, p := range imports {
			assert.Contains(t, known, p, "CONTRIBUTING.md does not list this import of %s", words[0])
		}
		if !shared[words[0]] {
			assert.Subset(t, imports, known, "CONTRIBUTING.md lists an import that %s does not have", words[0])
		}
	}
}

// TestHowItWorksNamesFiles checks that each file and folder named in README's section "How it works" exists. A file
// name without a folder is in the folder of the name before it.
func TestHowItWorksNamesFiles(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	_, page, found := strings.Cut(string(text), "\n## How it works\n")
	require.True(t, found)
	page, _, found = strings.Cut(page, "\n## ")
	require.True(t, found)
	dir, named := "", 0
	for _, m := range regexp.MustCompile("`([a-z_/]+(?:\\.go|/))`").FindAllStringSubmatch(page, -1) {
		name := m[1]
		if strings.Contains(name, "/") {
			dir = path.Dir(name)
		} else {
			name = path.Join(dir, name)
		}
		_, err := os.Stat(path.Join("../..", name))
		require.NoError(t, err, "README names %s", m[1])
		named++
	}
	require.Greater(t, named, 20)
}

// inModule reports whether a path, without the prefix "greenroom/", is a package of this module.
func inModule(path string) bool {
	top, _, _ := strings.Cut(path, "/")
	return slices.Contains([]string{"activities", "api", "cmd", "db", "workflows"}, top)
}
