package main

import (
	"context"

	"github.com/spf13/cobra"

	"greenroom/cmd/internal/admin"
)

func eventsCmd() *cobra.Command {
	cmd := &cobra.Command{Use: "events", Short: "List and show events"}
	cmd.AddCommand(eventsListCmd(), eventsShowCmd())
	return cmd
}

func eventsListCmd() *cobra.Command {
	var q admin.EventQuery
	var since, until, cursor string
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List events, newest first",
		Args:    cobra.NoArgs,
		Example: "  greenroom events list --company Acme --event interview.started --since 24h",
	}
	f := cmd.Flags()
	f.StringVar(&q.Company, "company", "", "only events of the company with this name or id")
	f.StringVar(&q.Type, "event", "", "only this event type, or types, such as job.*")
	f.StringVar(&since, "since", "", "accepted at or after: 24h, 7d, 2026-01-31, 2026-01-31T15:04:05Z")
	f.StringVar(&until, "until", "", "accepted before")
	f.StringVar(&cursor, "cursor", "", "continue after the event with this id, the last one of the list before")
	f.Int64Var(&q.Limit, "limit", 50, "maximum number of events")
	return operator(cmd, nil, func(ctx context.Context, a *admin.Admin, p admin.Printer, _ []string) (err error) {
		if cursor != "" {
			if q.Cursor, err = admin.ParseID("event", cursor); err != nil {
				return err
			}
		}
		if q.Since, q.Until, err = period(since, until); err != nil {
			return err
		}
		events, err := a.ListEvents(ctx, q)
		if err != nil {
			return err
		}
		return p.Events(events)
	})
}

func eventsShowCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "show ID", Short: "Show an event; --json includes its data", Args: cobra.ExactArgs(1),
	}
	return onID(cmd, nil, "event", (*admin.Admin).GetEvent, admin.Printer.EventDetail)
}
