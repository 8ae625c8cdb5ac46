package main

import (
	"context"

	"github.com/spf13/cobra"

	"greenroom/cmd/internal/admin"
)

func deliveriesReplayCmd() *cobra.Command {
	var r admin.ReplayRequest
	var webhook, since, until string
	var dryRun, follow bool
	cmd := &cobra.Command{
		Use: "replay", Short: "Send ended deliveries of a webhook again, in the background", Args: cobra.NoArgs,
		Long: "Starts a replay and prints its id. `greenroom replays show ID` shows its progress, and `greenroom replays\n" +
			"pause`, `resume` and `cancel` change it. Test calls are not replayed.",
		Example: "  greenroom deliveries replay --webhook ID --since 24h --dry-run\n" +
			"  greenroom deliveries replay --webhook ID --since 24h --status failed --follow",
	}
	f := cmd.Flags()
	f.StringVar(&webhook, "webhook", "", "id of the webhook")
	f.StringVar(&since, "since", "", "created at or after: 24h, 7d, 2026-01-31, 2026-01-31T15:04:05Z")
	f.StringVar(&until, "until", "", "created before (default now)")
	f.StringArrayVar(&r.Statuses, "status", nil,
		"only this status: succeeded, failed or canceled; repeat for more (default failed)")
	f.StringArrayVar(&r.Events, "event", nil, "only this event; repeat for more (default all)")
	f.BoolVar(&dryRun, "dry-run", false, "only count the deliveries that would be sent again")
	f.BoolVar(&follow, "follow", false, "show the progress until the replay has ended; Ctrl-C ends only the display")
	cmd.MarkFlagsMutuallyExclusive("dry-run", "follow")
	requireFlags(cmd, "webhook", "since")
	return operator(cmd, nil, func(ctx context.Context, a *admin.Admin, p admin.Printer, _ []string) (err error) {
		if r.Webhook, err = admin.ParseID("webhook", webhook); err != nil {
			return err
		}
		if r.Since, r.Until, err = period(since, until); err != nil {
			return err
		}
		if dryRun {
			count, err := a.CountReplay(ctx, r)
			if err != nil {
				return err
			}
			return p.ReplayCount(count)
		}
		replay, err := a.Replay(ctx, r)
		if err != nil {
			return err
		}
		if follow {
			return a.FollowReplay(ctx, replay.ID, p.ReplayChange)
		}
		return p.Replay(replay)
	})
}
