package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"greenroom/cmd/internal/config"
)

// version is set by the linker in releases: -X main.version=1.2.3.
var version = "dev"

func versionCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version of this program",
		Args:  cobra.NoArgs,
		Run:   func(cmd *cobra.Command, _ []string) { fmt.Fprint(cmd.OutOrStdout(), versionLine()) },
	}
}

// versionLine is the output of `greenroom version` and `greenroom --version`.
func versionLine() string {
	revisionText := ""
	if r := revision(); r != "" {
		revisionText = ", " + r
	}
	return fmt.Sprintf("greenroom %s (%s, %s/%s%s)\n",
		version, runtime.Version(), runtime.GOOS, runtime.GOARCH, revisionText)
}

// revision returns the commit that the program was built from, or "" if Go recorded none.
func revision() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, setting := range info.Settings {
		if setting.Key == "vcs.revision" {
			return setting.Value
		}
	}
	return ""
}

// withBuildID sets the build ID of a versioned worker if the settings have none: the number of a release, otherwise the
// commit.
func withBuildID(cfg config.Config) config.Config {
	if cfg.Worker.BuildID == "" {
		cfg.Worker.BuildID = version
		if rev := revision(); version == "dev" && rev != "" {
			cfg.Worker.BuildID = rev
		}
	}
	return cfg
}
