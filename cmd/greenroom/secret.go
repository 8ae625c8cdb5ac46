package main

import (
	"context"

	"github.com/spf13/cobra"

	"greenroom/cmd/internal/admin"
)

func secretCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "secret",
		Short: "Rotate the secret that keys API keys, tokens and links, without downtime",
		Long: "The secret (GREENROOM_SECRET) keys the hashes of API keys and tokens, and the tokens of links. It\n" +
			"rotates in these steps:\n\n" +
			"  1. greenroom secret add      prints a new value as GREENROOM_SECRET_NEXT, which is accepted only\n" +
			"  2. greenroom secret promote  prints it as GREENROOM_SECRET, and the old one as GREENROOM_SECRET_PREVIOUS\n" +
			"  3. greenroom secret status   shows which API keys were not used since: the old value has hashed them\n" +
			"  4. greenroom secret drop     prints the settings without the old value\n\n" +
			"Restart every process with what 1, 2 and 4 print, before the next step. With the old value end the API keys\n" +
			"that were not used, and the links that were made with it: invitations, shared reports, recordings, activation\n" +
			"keys and call-backs. Wait for the longest of interview.invitation_deadline and the lifetime of your links.",
	}
	force := false
	drop := func(a *admin.Admin, ctx context.Context) (admin.ChangedSecret, error) {
		return a.DropSecret(ctx, force)
	}
	dropCmd := stepCmd("secret", "drop", "Print the settings without the old value", drop, admin.Printer.ChangedSecret)
	dropCmd.Flags().BoolVar(&force, "force", false, "although it has hashed API keys that are in use: they end")
	cmd.AddCommand(
		stepCmd("secret", "status", "List the values in use, and the API keys and tokens that each has hashed",
			(*admin.Admin).SecretValues, admin.Printer.SecretValues),
		stepCmd("secret", "add", "Print the settings with a new value that is accepted only", (*admin.Admin).AddSecret,
			admin.Printer.ChangedSecret),
		stepCmd("secret", "promote", "Print the settings in which the new value is used", (*admin.Admin).PromoteSecret,
			admin.Printer.ChangedSecret),
		dropCmd,
	)
	return cmd
}
