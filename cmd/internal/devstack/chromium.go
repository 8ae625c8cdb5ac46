package devstack

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
)

// chromiumVariable names the browser for tests: a path that overrides the search, and for the tests what was found.
const chromiumVariable = "GREENROOM_TEST_CHROMIUM"

var chromium = installable{
	name:      "Chromium",
	release:   "it",
	otherwise: "set " + chromiumVariable + " to the path of a Chromium or Chrome you have",
	managers: []packageManager{
		{"brew", false, "HOMEBREW_NO_AUTO_UPDATE=1 brew install --cask chromium", "brew install --cask chromium"},
		{"apt-get", true, `export DEBIAN_FRONTEND=noninteractive
		apt-get update -q && apt-get install -q -y --no-install-recommends chromium`, "sudo apt-get install chromium"},
		{"dnf", true, "dnf install -y chromium", "sudo dnf install chromium"},
		{"apk", true, "apk add chromium", "sudo apk add chromium"},
		{"pacman", true, "pacman -Sy --noconfirm chromium", "sudo pacman -S chromium"},
		{"zypper", true, "zypper --non-interactive install chromium", "sudo zypper install chromium"},
	},
}

// chromiumPrograms are the names of the browser, and where macOS has it.
var chromiumPrograms = []string{
	"chromium", "chromium-browser", "google-chrome", "google-chrome-stable",
	"/Applications/Chromium.app/Contents/MacOS/Chromium", "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
}

func findChromium() string {
	if path := os.Getenv(chromiumVariable); path != "" {
		return path
	}
	for _, program := range chromiumPrograms {
		if path, err := exec.LookPath(program); err == nil {
			return path
		}
	}
	return ""
}

// ensureChromium returns the path of a browser for tests, which it installs if there is none. Without one it says why:
// the tests that need it are skipped.
func ensureChromium(ctx context.Context, log io.Writer) string {
	if path := findChromium(); path != "" {
		return path
	}
	if err := chromium.install(ctx, log); err != nil {
		fmt.Fprintln(log, "tests in a browser are skipped:", err)
		return ""
	}
	return findChromium()
}
