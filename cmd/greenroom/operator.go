package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"greenroom/cmd/internal/admin"
	"greenroom/cmd/internal/config"
)

// operator makes cmd act on the database. It adds the flags that select the database, and --json. secrets are the
// settings that the command needs in addition to database.url.
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
		return run(cmd.Context(), a, admin.NewPrinter(cmd.OutOrStdout(), *asJSON), args)
	}
	return cmd
}

// onID makes cmd a command whose first argument is the id of what do works on, and which prints the outcome.
func onID[T any](
	cmd *cobra.Command, secrets []string, what string,
	do func(*admin.Admin, context.Context, admin.ID) (T, error), show func(admin.Printer, T) error,
) *cobra.Command {
	return operator(cmd, secrets, func(ctx context.Context, a *admin.Admin, p admin.Printer, args []string) error {
		id, err := admin.ParseID(what, args[0])
		if err != nil {
			return err
		}
		out, err := do(a, ctx, id)
		if err != nil {
			return err
		}
		return show(p, out)
	})
}

// period parses --since and --until. A duration such as 24h means that long before now.
func period(since, until string) (from, to time.Time, err error) {
	now := time.Now()
	if from, err = admin.Moment("since", since, now, true); err != nil {
		return from, to, err
	}
	to, err = admin.Moment("until", until, now, true)
	return from, to, err
}
