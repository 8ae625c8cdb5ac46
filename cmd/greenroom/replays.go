package main

import (
	"context"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"greenroom/cmd/internal/admin"
)

func replaysCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "replays",
		Short: "List, show, pause, resume and cancel replays of deliveries",
	}
	cmd.AddCommand(
		replaysListCmd(),
		replayCmd("show ID", "Show the state of a replay and how many deliveries it has sent again",
			(*admin.Admin).GetReplay, admin.Printer.Replay),
		replayCmd("pause ID", "Pause a running replay", (*admin.Admin).PauseReplay, admin.Printer.ReplayChange),
		replayCmd("resume ID", "Continue a paused replay", (*admin.Admin).ResumeReplay, admin.Printer.ReplayChange),
		replayCmd("cancel ID", "End a replay; what it has put back into the queue is still sent",
			(*admin.Admin).CancelReplay, admin.Printer.ReplayChange),
	)
	return cmd
}

func replaysListCmd() *cobra.Command {
	var webhook string
	var limit int64
	cmd := &cobra.Command{Use: "list", Short: "List replays, newest first", Args: cobra.NoArgs}
	cmd.Flags().StringVar(&webhook, "webhook", "", "only replays of the webhook with this id; required through the API")
	cmd.Flags().Int64Var(&limit, "limit", 50, "maximum number of replays")
	return operator(cmd, nil, func(ctx context.Context, a *admin.Admin, p admin.Printer, _ []string) (err error) {
		var id uuid.UUID
		if webhook != "" {
			if id, err = admin.ParseID("webhook", webhook); err != nil {
				return err
			}
		}
		replays, err := a.ListReplays(ctx, id, limit)
		if err != nil {
			return err
		}
		return p.Replays(replays)
	})
}

func replayCmd(
	use, short string,
	do func(*admin.Admin, context.Context, admin.ID) (admin.Replay, error),
	show func(admin.Printer, admin.Replay) error,
) *cobra.Command {
	return onID(&cobra.Command{Use: use, Short: short, Args: cobra.ExactArgs(1)}, nil, "replay", do, show)
}
