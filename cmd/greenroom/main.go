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
	if err := rootCmd().Execute(); err != nil {
		var exit exitError
		if errors.As(err, &exit) {
			os.Exit(int(exit))
		}
		fmt.Fprintln(os.Stderr, "greenroom:", err)
		os.Exit(1)
	}
}

// rootCmd returns the tree of commands.
func rootCmd() *cobra.Command {
	root := &cobra.Command{
		Use:               "greenroom",
		Short:             "Interview platform with durable webhooks",
		Long:              "Interview platform with durable webhooks.\n\n" + whatToOperate,
		Version:           version,
		SilenceUsage:      true,
		SilenceErrors:     true,
		PersistentPreRunE: warnOfVariables,
	}
	root.SetVersionTemplate(versionLine())
	root.SetFlagErrorFunc(explainFlag)
	addGroup(root, "run", "Run it:", devCmd(), apiCmd(), workerCmd(), migrateCmd(), healthCmd(), doctorCmd(), configCmd())
	addGroup(root, "operate", "Operate it:", webhooksCmd(), deliveriesCmd(), replaysCmd(),
		eventsCmd(), interviewsCmd(), companiesCmd(), keysCmd(), candidatesCmd(), staffCmd(), auditCmd(), keysetCmd(),
		secretCmd())
	addGroup(root, "try", "Try and measure it:", listenCmd(), demoCmd(), triggerCmd(), benchCmd(), chaosCmd())
	addGroup(root, "other", "Other:", versionCmd(), manCmd(), settingsTopic())
	root.SetHelpCommandGroupID("other")
	root.SetCompletionCommandGroupID("other")
	finish(root)
	refuseUnknownTopic(root)
	return root
}

func addGroup(root *cobra.Command, id, title string, commands ...*cobra.Command) {
	root.AddGroup(&cobra.Group{ID: id, Title: title})
	for _, cmd := range commands {
		cmd.GroupID = id
	}
	root.AddCommand(commands...)
}

// exitError ends the program with this exit code and without a message: the command has already printed one.
type exitError int

func (e exitError) Error() string { return fmt.Sprintf("exit code %d", int(e)) }
