package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"greenroom/activities/webhook/profiles"
	"greenroom/cmd/internal/client"
	"greenroom/cmd/internal/trigger"
)

// apiFlags adds the flags that locate a running API. The function returns their values, or those of the environment or
// of `greenroom dev`.
func apiFlags(cmd *cobra.Command) func() (client.Settings, error) {
	cmd.Flags().String("url", "", "address of the API (default $GREENROOM_URL, or that of a running greenroom dev)")
	cmd.Flags().String("key", "", "API key (default $GREENROOM_API_KEY, or that of a running greenroom dev)")
	return func() (client.Settings, error) { return apiSettings(cmd, "") }
}

// triggerCmd publishes the sample of an event through a running API.
func triggerCmd() *cobra.Command {
	var opts trigger.Options
	cmd := &cobra.Command{
		Use:   "trigger TYPE",
		Short: "Publish a sample event through a running API, or test one webhook with it",
		Example: "  greenroom trigger interview.started\n" +
			"  greenroom trigger analysis.completed --webhook 01a1fda2-6eca-76fc-b9e3-1d258da1bd8d",
		Args:         cobra.ExactArgs(1),
		SilenceUsage: true,
	}
	settings := apiFlags(cmd)
	f := cmd.Flags()
	f.StringVar(&opts.Company, "company", "", "id of the company whose event it is, for a key of the platform")
	f.StringVar(&opts.Webhook, "webhook", "", "id of the only webhook to send it to, as a test, subscribed or not")
	f.BoolVar(&opts.JSON, "json", false, "print JSON")
	cmd.RunE = func(cmd *cobra.Command, args []string) (err error) {
		ctx, stop := untilSignal(cmd.Context())
		defer stop()
		if opts.Settings, err = settings(); err != nil {
			return err
		}
		opts.Type, opts.Out = args[0], cmd.OutOrStdout()
		return trigger.Run(ctx, opts)
	}
	cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return eventTypes(cmd.Context(), settings, opts.Company), cobra.ShellCompDirectiveNoFileComp
	}
	return cmd
}

// completionWait is how long a completion waits for the API.
const completionWait = time.Second

// eventTypes lists the event types of the API, or those of the catalogue if it does not answer.
func eventTypes(ctx context.Context, settings func() (client.Settings, error), company string) []string {
	if s, err := settings(); err == nil {
		ctx, cancel := context.WithTimeout(ctx, completionWait)
		defer cancel()
		if names, err := trigger.Types(ctx, s, company); err == nil {
			return names
		}
	}
	var names []string
	for _, t := range profiles.Types() {
		names = append(names, t.Name)
	}
	return names
}
