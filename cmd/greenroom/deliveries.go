package main

import (
	"context"

	"github.com/spf13/cobra"

	"greenroom/cmd/internal/admin"
)

func deliveriesCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "deliveries",
		Short: "List, show, retry, cancel and replay deliveries",
	}
	cmd.AddCommand(
		deliveriesListCmd(),
		deliveriesShowCmd(),
		deliveriesRetryCmd(),
		deliveriesCancelCmd(),
		deliveriesReplayCmd(),
	)
	return cmd
}

func deliveriesListCmd() *cobra.Command {
	var q admin.DeliveryQuery
	var webhook, since, until, cursor string
	cmd := &cobra.Command{
		Use: "list", Short: "List deliveries, newest first", Args: cobra.NoArgs,
		Example: "  greenroom deliveries list --status failed --since 24h\n" +
			"  greenroom deliveries list --company Acme --event interview.started --cursor ID",
	}
	f := cmd.Flags()
	f.StringVar(&webhook, "webhook", "", "only deliveries of the webhook with this id")
	f.StringVar(&q.Status, "status", "", "only this status: pending, retrying, paused, succeeded, failed or canceled")
	f.StringVar(&q.Company, "company", "", "only deliveries of events of the company with this name or id")
	f.StringVar(&q.Event, "event", "", "only deliveries of this event type")
	f.StringVar(&cursor, "cursor", "", "continue after the delivery with this id, the last one of the list before")
	f.StringVar(&since, "since", "", "created at or after: 24h, 7d, 2026-01-31, 2026-01-31T15:04:05Z")
	f.StringVar(&until, "until", "", "created before")
	f.BoolVar(&q.Tests, "tests", false, "with --status failed, also list failed test calls")
	f.Int64Var(&q.Limit, "limit", 50, "maximum number of deliveries")
	return operator(cmd, nil, func(ctx context.Context, a *admin.Admin, p admin.Printer, _ []string) (err error) {
		if webhook != "" {
			if q.Webhook, err = admin.ParseID("webhook", webhook); err != nil {
				return err
			}
		}
		if cursor != "" {
			if q.Cursor, err = admin.ParseID("delivery", cursor); err != nil {
				return err
			}
		}
		if q.Since, q.Until, err = period(since, until); err != nil {
			return err
		}
		found, err := a.ListDeliveries(ctx, q)
		if err != nil {
			return err
		}
		return p.Deliveries(found)
	})
}

func deliveriesShowCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "show ID",
		Short: "Show a delivery and its attempts; --json includes the body that was sent",
		Args:  cobra.ExactArgs(1),
	}
	return onID(cmd, nil, "delivery", (*admin.Admin).GetDelivery, admin.Printer.DeliveryDetail)
}

func deliveriesRetryCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "retry ID", Short: "Send an ended delivery again, or a waiting one now", Args: cobra.ExactArgs(1),
	}
	return onID(cmd, nil, "delivery", (*admin.Admin).RetryDelivery, admin.Printer.Delivery)
}
