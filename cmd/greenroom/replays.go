package main

import (
	"context"

	"github.com/spf13/cobra"

	"greenroom/cmd/internal/admin"
)

func replaysCmd() *cobra.Command {
	cmd := &cobra.Command{Use: "replays", Short: "Show replays of deliveries, directly from the database"}
	cmd.AddCommand(replaysShowCmd())
	return cmd
}

func replaysShowCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "show ID",
		Short: "Show the state of a replay and how many deliveries it has sent again",
		Args:  cobra.ExactArgs(1),
	}
	return operator(cmd, nil, func(ctx context.Context, a *admin.Admin, p admin.Printer, args []string) error {
		id, err := admin.ParseID("replay", args[0])
		if err != nil {
			return err
		}
		r, err := a.GetReplay(ctx, id)
		if err != nil {
			return err
		}
		return p.Replay(r)
	})
}
