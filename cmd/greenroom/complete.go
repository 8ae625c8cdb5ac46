package main

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"greenroom/api"
	"greenroom/cmd/internal/admin"
	"greenroom/db/delivery"
)

// complete registers what the shell proposes for the flags and the first argument of a command. A flag's values go by
// its name, an id's by the group: the same name means the same everywhere.
func complete(cmd *cobra.Command) {
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if values := valuesOf(f.Name); values != nil && f.Value.Type() != "int" {
			_ = cmd.RegisterFlagCompletionFunc(f.Name, values) // fails only for an unknown flag
		}
	})
	if cmd.Args == nil || cmd.HasSubCommands() || cmd.ValidArgsFunction != nil {
		return
	}
	cmd.ValidArgsFunction = cobra.NoFileCompletions
	if list := idsOf[cmd.Parent().Name()]; list != nil && strings.Contains(cmd.Use, " ID") {
		cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return fromStore(list)(cmd, args, typed)
		}
	}
}

// idsOf are the values of an ID in the commands of a group.
var idsOf = map[string]admin.Choices{
	"webhooks": (*admin.Admin).WebhookChoices, "deliveries": (*admin.Admin).DeliveryChoices,
	"replays": (*admin.Admin).ReplayChoices, "keys": (*admin.Admin).KeyChoices, "events": (*admin.Admin).EventChoices,
	"interviews": (*admin.Admin).InterviewChoices,
}

func valuesOf(flag string) cobra.CompletionFunc {
	switch flag {
	case "status":
		return fixed(admin.Statuses())
	case "profile":
		return fixed(admin.Profiles())
	case "event":
		return eventNames
	case "recovery":
		return fixed([]string{"manual", "probe"})
	case "ordering":
		return fixed([]string{delivery.BySubject})
	case "ordering-on-failure":
		return fixed([]string{api.SkipSubject, api.BlockSubject})
	case "scope":
		return fixed(admin.Scopes())
	case "webhook":
		return fromStore((*admin.Admin).WebhookChoices)
	case "company":
		return fromStore((*admin.Admin).CompanyChoices)
	}
	return nil
}

// eventNames proposes the names in the profile that --profile names, or the event types.
func eventNames(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	profile := ""
	if f := cmd.Flags().Lookup("profile"); f != nil {
		profile = f.Value.String()
	}
	return admin.EventNames(profile), cobra.ShellCompDirectiveNoFileComp
}

func fixed(values []string) cobra.CompletionFunc {
	return cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)
}

// completionLimit is shorter than a person waits for the Tab key.
const completionLimit = 2 * time.Second

// fromStore proposes values from what the command acts on; none if it cannot be read.
func fromStore(list admin.Choices) cobra.CompletionFunc {
	return func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		ctx, cancel := context.WithTimeout(context.Background(), completionLimit)
		defer cancel()
		a, err := open(ctx, cmd)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		defer a.Close()
		choices, err := list(a, ctx)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		proposals := make([]string, len(choices))
		for i, c := range choices {
			proposals[i] = cobra.CompletionWithDesc(c.Value, c.Description)
		}
		return proposals, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
	}
}
