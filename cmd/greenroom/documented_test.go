package main_test

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

// An operator copies commands from these pages while something is broken: each must exist, with its flags.
func TestDeploymentPagesNameCommandsThatExist(t *testing.T) {
	t.Parallel()
	var paths []string
	require.NoError(t, filepath.WalkDir("../../deploy", func(path string, _ fs.DirEntry, err error) error {
		name := filepath.Base(path)
		if filepath.Ext(name) == ".md" || name == "alerts.yaml" || name == "dashboard.json" {
			paths = append(paths, path)
		}
		return err
	}))
	// In code, in a code block, in brackets, or behind a colon.
	command := regexp.MustCompile("(?m)(?:[`(/]|: |^| )greenroom ((?:[a-z-]+ )*[a-z-]+)((?: +(?:--)?[a-zA-Z0-9*._/-]+)*)")
	flag := regexp.MustCompile(`--[a-z-]+`)
	helps := map[string]string{}
	found := map[string]bool{}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		for _, m := range command.FindAllStringSubmatch(string(text), -1) {
			words := strings.Fields(m[1])
			first := words[0]
			if _, known := helps[first]; !known {
				helps[first] = runProgram(t, nil, first, "--help").stdout
			}
			if !strings.Contains(helps[first], "greenroom "+first) {
				continue // prose
			}
			name := first
			if strings.Contains(helps[first], "greenroom "+first+" [command]") {
				if !assert.Greater(t, len(words), 1, "%s: greenroom %s needs a command", path, first) {
					continue
				}
				name = first + " " + words[1]
				helps[name] = runProgram(t, nil, first, words[1], "--help").stdout
			}
			found[name] = true
			assert.Contains(t, helps[name], "Usage:\n  greenroom "+name, "%s: greenroom %s", path, m[1])
			for _, f := range flag.FindAllString(m[2], -1) {
				assert.Contains(t, helps[name], f, "%s: greenroom %s", path, m[0])
			}
		}
	}
	for _, name := range []string{"doctor", "deliveries replay", "webhooks reset-circuit", "migrate up", "health"} {
		assert.True(t, found[name], name)
	}
}
