package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"greenroom/cmd/internal/admin"
)

func webhooksCmd() *cobra.Command {
	cmd := &cobra.Command{Use: "webhooks", Short: "Make, list, reset and delete webhooks, directly in the database"}
	cmd.AddCommand(webhooksCreateCmd(), webhooksListCmd(), webhooksResetCmd(), webhooksDeleteCmd())
	return cmd
}

func webhooksCreateCmd() *cobra.Command {
	var r admin.WebhookRequest
	cmd := &cobra.Command{
		Use:   "create",
		Short: "Make a webhook and print its signing secret, once",
		Example: "  greenroom webhooks create --company Acme --url https://acme.example/hooks --event interview.started " +
			"--event analysis.completed",
		Args: cobra.NoArgs,
	}
	f := cmd.Flags()
	f.StringVar(&r.Company, "company", "", "whose events it gets: the name or id of a company")
	f.BoolVar(&r.Platform, "platform", false, "it gets the events of every company")
	f.StringVar(&r.URL, "url", "", "where to deliver")
	f.StringVar(
		&r.Profile,
		"profile",
		admin.Profiles()[0],
		"the contract the receiver was written for: "+fmt.Sprint(admin.Profiles()),
	)
	f.StringArrayVar(&r.Events, "event", nil, "event as the profile names or numbers it; repeat for more")
	f.StringVar(&r.Name, "name", "", "what it is for")
	return operator(cmd, []string{"keyset"}, func(ctx context.Context, a *admin.Admin, p admin.Printer, _ []string) error {
		w, err := a.CreateWebhook(ctx, r)
		if err != nil {
			return err
		}
		return p.NewWebhook(w)
	})
}

func webhooksListCmd() *cobra.Command {
	var company string
	cmd := &cobra.Command{Use: "list", Short: "List webhooks, oldest first", Args: cobra.NoArgs}
	cmd.Flags().StringVar(&company, "company", "", "only those of the company of this name or id")
	return operator(cmd, nil, func(ctx context.Context, a *admin.Admin, p admin.Printer, _ []string) error {
		hooks, err := a.ListWebhooks(ctx, company)
		if err != nil {
			return err
		}
		return p.Webhooks(hooks)
	})
}

func webhooksResetCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "reset-circuit ID",
		Short: "Close a webhook's circuit and make it active; what waited follows at a ramp",
		Args:  cobra.ExactArgs(1),
	}
	return operator(cmd, nil, func(ctx context.Context, a *admin.Admin, p admin.Printer, args []string) error {
		id, err := admin.ParseID("webhook", args[0])
		if err != nil {
			return err
		}
		w, err := a.ResetCircuit(ctx, id)
		if err != nil {
			return err
		}
		return p.Webhook(w)
	})
}

func webhooksDeleteCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "delete ID",
		Short: "Delete a webhook; what it still had to deliver is canceled",
		Args:  cobra.ExactArgs(1),
	}
	return operator(cmd, nil, func(ctx context.Context, a *admin.Admin, p admin.Printer, args []string) error {
		id, err := admin.ParseID("webhook", args[0])
		if err != nil {
			return err
		}
		w, err := a.DeleteWebhook(ctx, id)
		if err != nil {
			return err
		}
		return p.Webhook(w)
	})
}
