package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"greenroom/cmd/internal/admin"
)

func webhooksCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "webhooks",
		Short: "Create, list, show, change, test, reset and delete webhooks and rotate their secrets",
	}
	cmd.AddCommand(
		webhooksCreateCmd(),
		webhooksListCmd(),
		webhooksShowCmd(),
		webhooksUpdateCmd(),
		webhooksTestCmd(),
		webhooksFilterTestCmd(),
		webhooksResetCmd(),
		webhooksDeleteCmd(),
		webhooksRotateCmd(),
		webhooksSecretsCmd(),
		webhooksRevokeCmd(),
	)
	return cmd
}

func webhooksCreateCmd() *cobra.Command {
	var r admin.WebhookRequest
	cmd := &cobra.Command{
		Use:   "create",
		Short: "Create a webhook and print its signing secret; the secret is not shown again",
		Example: "  greenroom webhooks create --company Acme --endpoint https://acme.example/hooks " +
			"--event interview.started --event analysis.completed",
		Args: cobra.NoArgs,
	}
	f := cmd.Flags()
	f.StringVar(
		&r.Company,
		"company",
		"",
		"name or id of the company whose events it receives (through the API by default those that --key sees)",
	)
	f.BoolVar(&r.Platform, "platform", false, "receive the events of every company")
	f.StringVar(&r.URL, "endpoint", "", "URL that deliveries are sent to")
	f.StringVar(&r.Profile, "profile", admin.Profiles()[0],
		"contract that the receiver implements: "+strings.Join(admin.Profiles(), ", "))
	f.StringArrayVar(&r.Events, "event", nil, "name or number of an event in the profile; repeat for more")
	f.StringVar(&r.Name, "name", "", "purpose of the webhook")
	requireFlags(cmd, "endpoint", "event")
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
	cmd.Flags().StringVar(&company, "company", "", "only webhooks of the company with this name or id")
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
		Short: "Close a webhook's circuit and activate it; paused deliveries are sent at a rising rate",
		Args:  cobra.ExactArgs(1),
	}
	return onID(cmd, nil, "webhook", (*admin.Admin).ResetCircuit, admin.Printer.Webhook)
}

func webhooksDeleteCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "delete ID",
		Short: "Delete a webhook and cancel its deliveries that have not ended",
		Args:  cobra.ExactArgs(1),
	}
	return onID(cmd, nil, "webhook", (*admin.Admin).DeleteWebhook, admin.Printer.Webhook)
}
