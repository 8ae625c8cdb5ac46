package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"greenroom/cmd/internal/admin"
	"greenroom/cmd/internal/config"
)

// operator makes cmd one that acts on the database: beside its own flags it gets those for where that is, and --json.
// secrets are the settings beyond database.url that it cannot do without.
func operator(
	cmd *cobra.Command,
	secrets []string,
	run func(context.Context, *admin.Admin, admin.Printer, []string) error,
) *cobra.Command {
	config.AddFlags(cmd.Flags(), "database.url", "dev.dir")
	asJSON := cmd.Flags().Bool("json", false, "print JSON")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		cfg, err := config.Load(cmd.Flags())
		if err != nil {
			return err
		}
		a, err := admin.Open(cmd.Context(), cfg, secrets...)
		if err != nil {
			return err
		}
		defer a.Close()
		return run(cmd.Context(), a, admin.Printer{Out: cmd.OutOrStdout(), JSON: *asJSON}, args)
	}
	return cmd
}

// period reads the flags --since and --until, both looking back from now.
func period(since, until string) (from, to time.Time, err error) {
	now := time.Now()
	if from, err = admin.Moment("since", since, now, true); err != nil {
		return from, to, err
	}
	to, err = admin.Moment("until", until, now, true)
	return from, to, err
}
