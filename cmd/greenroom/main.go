// Command greenroom is the whole product in one program: the API, the worker and the tools around them are
// sub-commands, so that one image and one version run everywhere. The files here only wire; the work is in the
// packages below.
package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"
)

func main() {
	root := &cobra.Command{
		Use:           "greenroom",
		Short:         "Interviews, and webhooks about them that are never lost",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(
		devCmd(),
		apiCmd(),
		workerCmd(),
		benchCmd(),
		chaosCmd(),
		migrateCmd(),
		keysCmd(),
		webhooksCmd(),
		staffCmd(),
		deliveriesCmd(),
		healthCmd(),
		listenCmd(),
		demoCmd(),
		versionCmd(),
		settingsTopic(),
	)
	if err := root.Execute(); err != nil {
		var exit exitError
		if errors.As(err, &exit) {
			os.Exit(int(exit))
		}
		fmt.Fprintln(os.Stderr, "greenroom:", err)
		os.Exit(1)
	}
}

// exitError ends the program with this code and without a message: the program that was run has said what there is to
// say.
type exitError int

func (e exitError) Error() string { return fmt.Sprintf("exit code %d", int(e)) }
