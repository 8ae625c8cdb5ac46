package main

import (
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
	return onID(cmd, nil, "replay", (*admin.Admin).GetReplay, admin.Printer.Replay)
}
