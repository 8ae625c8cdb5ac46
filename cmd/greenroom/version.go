package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"greenroom/cmd/internal/config"
)

// version is set by the linker for releases: -X main.version=1.2.3.
var version = "dev"

func versionCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version of this program",
		Args:  cobra.NoArgs,
		Run: func(cmd *cobra.Command, _ []string) {
			fmt.Fprintf(cmd.OutOrStdout(), "greenroom %s (%s, %s/%s%s)\n",
				version, runtime.Version(), runtime.GOOS, runtime.GOARCH, suffix(revision()))
		},
	}
}

// revision is the commit it was built from, when Go recorded one.
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

func suffix(revision string) string {
	if revision == "" {
		return ""
	}
	return ", " + revision
}

// withBuildID gives a versioned worker the program's version where the settings give it none: a release's number, or
// the commit of anything else.
func withBuildID(cfg config.Config) config.Config {
	if cfg.Worker.BuildID == "" {
		cfg.Worker.BuildID = version
		if rev := revision(); version == "dev" && rev != "" {
			cfg.Worker.BuildID = rev
		}
	}
	return cfg
}
