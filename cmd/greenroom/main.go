// Command greenroom is the whole product in one program. The API, the worker and the tools are sub-commands, so that
// all of them run from one image and have one version. The files here only connect the packages below.
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
		Short:         "Interview platform with durable webhooks",
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
		keysetCmd(),
		secretCmd(),
		webhooksCmd(),
		staffCmd(),
		candidatesCmd(),
		auditCmd(),
		deliveriesCmd(),
		replaysCmd(),
		healthCmd(),
		listenCmd(),
		demoCmd(),
		triggerCmd(),
		versionCmd(),
		settingsTopic(),
	)
	for _, cmd := range root.Commands() {
		refuseUnknown(cmd)
	}
	if err := root.Execute(); err != nil {
		var exit exitError
		if errors.As(err, &exit) {
			os.Exit(int(exit))
		}
		fmt.Fprintln(os.Stderr, "greenroom:", err)
		os.Exit(1)
	}
}

// refuseUnknown makes a group of commands fail for an unknown one. Cobra itself prints the help and succeeds, so that a
// script with a misspelled command would not notice.
func refuseUnknown(group *cobra.Command) {
	if !group.HasSubCommands() || group.Runnable() {
		return
	}
	group.Args, group.DisableFlagsInUseLine = cobra.NoArgs, true
	group.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
}

// exitError ends the program with this exit code and without a message: the command has already printed one.
type exitError int

func (e exitError) Error() string { return fmt.Sprintf("exit code %d", int(e)) }
