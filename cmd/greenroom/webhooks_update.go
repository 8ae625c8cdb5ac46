package main

import (
	"context"

	"github.com/spf13/cobra"

	"greenroom/cmd/internal/admin"
)

func webhooksShowCmd() *cobra.Command {
	cmd := &cobra.Command{Use: "show ID", Short: "Show a webhook with all its settings", Args: cobra.ExactArgs(1)}
	return onID(cmd, nil, "webhook", (*admin.Admin).GetWebhook, admin.Printer.WebhookDetail)
}

func webhooksUpdateCmd() *cobra.Command {
	var endpoint, name, description, recovery, notify, ordering, onFailure string
	var events []string
	var rate int
	var activate, deactivate bool
	cmd := &cobra.Command{
		Use:   "update ID",
		Short: "Change a webhook; what no flag names stays",
		Long: "Changes a webhook. A URL at another scheme, host or port drops custom headers and credentials: they are\n" +
			"for the old receiver.",
		Example: "  greenroom webhooks update 01a1fd9e-b9bb-70e8-bf88-ad192063a4fe --endpoint https://new.example/hooks\n" +
			"  greenroom webhooks update 01a1fd9e-b9bb-70e8-bf88-ad192063a4fe --rate-limit 50 --deactivate",
		Args: cobra.ExactArgs(1),
	}
	f := cmd.Flags()
	f.StringVar(&endpoint, "endpoint", "", "URL that deliveries are sent to")
	f.StringVar(&name, "name", "", "purpose of the webhook")
	f.StringVar(&description, "description", "", "notes about the webhook")
	f.StringArrayVar(&events, "event", nil,
		"name or number of an event in the profile; repeat for all that it shall receive")
	f.IntVar(&rate, "rate-limit", 0, "most deliveries per second; 0: no limit")
	f.StringVar(&recovery, "recovery", "", "manual or probe; empty: the setting circuit.recovery")
	f.StringVar(&notify, "notify-email", "", "address for mail about its circuit and failures; empty: the company's")
	f.StringVar(&ordering, "ordering", "", "subject: the events of a subject one after the other; empty: in any order")
	f.StringVar(&onFailure, "ordering-on-failure", "",
		"with ordering, after a delivery that failed for good: skip (the next one follows) or block")
	f.BoolVar(&activate, "activate", false, "send again; what waited is sent at a rising rate")
	f.BoolVar(&deactivate, "deactivate", false,
		"keep deliveries back; done on the database or with a platform key, only the platform can activate it again")
	cmd.MarkFlagsMutuallyExclusive("activate", "deactivate")
	return operator(cmd, []string{"keyset"}, func(
		ctx context.Context, a *admin.Admin, p admin.Printer, args []string,
	) error {
		id, err := admin.ParseID("webhook", args[0])
		if err != nil {
			return err
		}
		var change admin.WebhookChange
		for flag, set := range map[string]func(){
			"endpoint": func() { change.URL = &endpoint }, "name": func() { change.Name = &name },
			"description": func() { change.Description = &description }, "rate-limit": func() { change.RateLimit = &rate },
			"notify-email": func() { change.NotifyEmail = &notify }, "ordering": func() { change.Ordering = &ordering },
			"ordering-on-failure": func() { change.OrderingOnFailure = &onFailure },
			"recovery":            func() { change.CircuitRecovery = &recovery }, "event": func() { change.Events = &events },
		} {
			if f.Changed(flag) {
				set()
			}
		}
		if activate || deactivate {
			change.Active = &activate
		}
		w, err := a.UpdateWebhook(ctx, id, change)
		if err != nil {
			return err
		}
		return p.WebhookDetail(w)
	})
}

func webhooksTestCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "test ID",
		Short: "Have a worker send a ping or its contract's sample, and wait for the answer; the exit code is 1 if it fails",
		Args:  cobra.ExactArgs(1),
	}
	return operator(cmd, nil, func(ctx context.Context, a *admin.Admin, p admin.Printer, args []string) error {
		id, err := admin.ParseID("webhook", args[0])
		if err != nil {
			return err
		}
		result, err := a.TestWebhook(ctx, id)
		if err != nil {
			return err
		}
		if err := p.TestResult(result); err != nil {
			return err
		}
		if !result.Success {
			return exitError(1)
		}
		return nil
	})
}

func webhooksFilterTestCmd() *cobra.Command {
	var filter string
	var limit int
	cmd := &cobra.Command{
		Use:   "filter-test ID",
		Short: "Try a filter on the newest events, and say which a webhook would get; sends nothing",
		Example: "  greenroom webhooks filter-test 01a1fd9e-b9bb-70e8-bf88-ad192063a4fe " +
			`--filter '{"data": {"status": "COMPLETED"}}'`,
		Args: cobra.ExactArgs(1),
	}
	cmd.Flags().StringVar(&filter, "filter", "", "filter in JSON; default the webhook's own")
	cmd.Flags().IntVar(&limit, "limit", 20, "how many events to look at, at most 100")
	return operator(cmd, nil, func(ctx context.Context, a *admin.Admin, p admin.Printer, args []string) error {
		id, err := admin.ParseID("webhook", args[0])
		if err != nil {
			return err
		}
		t, err := a.TestFilter(ctx, id, filter, limit)
		if err != nil {
			return err
		}
		return p.FilterTest(t)
	})
}
