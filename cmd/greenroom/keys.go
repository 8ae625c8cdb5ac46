package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"greenroom/cmd/internal/admin"
)

func keysCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "keys",
		Short: "Create, list, suspend, rotate and revoke API keys",
	}
	cmd.AddCommand(keysCreateCmd(), keysListCmd(), keysSecretsCmd(), keysSuspendCmd(),
		keysRotateCmd(),
		keyCmd("revoke ID", "Revoke a key, and the keys made through it; they cannot be restored", (*admin.Admin).RevokeKey),
		keyCmd("resume ID", "End the suspension of a key", (*admin.Admin).ResumeKey))
	return cmd
}

func keysCreateCmd() *cobra.Command {
	var r admin.KeyRequest
	var expires string
	cmd := &cobra.Command{
		Use:   "create",
		Short: "Create a key and print it; it is not shown again",
		Example: "  greenroom keys create --company Acme --create-company\n" +
			"  greenroom keys create --company Acme --scope read:webhooks --scope write:events --expires 90d --allow-ip " +
			"192.0.2.0/24",
		Args: cobra.NoArgs,
	}
	f := cmd.Flags()
	f.StringVar(
		&r.Company,
		"company",
		"",
		"name or id of the company that owns the key (through the API by default that of --key)",
	)
	f.BoolVar(&r.CreateCompany, "create-company", false, "create the company if it does not exist; only on the database")
	f.BoolVar(&r.Platform, "platform", false, "a key that acts for every company; only on the database")
	f.StringVar(&r.Name, "name", admin.DefaultKeyName, "purpose of the key")
	f.StringArrayVar(&r.Scopes, "scope", nil, "permission, such as read:webhooks; repeat for more (default all)")
	f.StringArrayVar(&r.AllowedIPs, "allow-ip", nil,
		"IP address or range that may use the key; repeat for more (default any)")
	f.StringVar(&expires, "expires", "", "expiry: 90d, 36h, 2026-12-31 (default never)")
	f.IntVar(&r.PerMinute, "per-minute", 0, "requests per minute (default the setting ratelimit.per_minute)")
	f.IntVar(&r.PerHour, "per-hour", 0, "requests per hour (default the setting ratelimit.per_hour)")
	needsDatabase(cmd, "platform", "create-company")
	return operator(
		cmd,
		[]string{"secret"},
		func(ctx context.Context, a *admin.Admin, p admin.Printer, _ []string) (err error) {
			if r.Expires, err = admin.Moment("expires", expires, time.Now(), false); err != nil {
				return err
			}
			k, err := a.CreateKey(ctx, r)
			if err != nil {
				return err
			}
			return p.NewKey(k)
		},
	)
}

func keysListCmd() *cobra.Command {
	var company string
	var limit int64
	cmd := &cobra.Command{Use: "list", Short: "List keys, newest first", Args: cobra.NoArgs}
	cmd.Flags().StringVar(&company, "company", "", "only keys of the company with this name or id")
	cmd.Flags().Int64Var(&limit, "limit", 100, "maximum number of keys")
	return operator(cmd, nil, func(ctx context.Context, a *admin.Admin, p admin.Printer, _ []string) error {
		keys, err := a.ListKeys(ctx, company, limit)
		if err != nil {
			return err
		}
		return p.Keys(keys)
	})
}

func keysSuspendCmd() *cobra.Command {
	var reason string
	cmd := keyCmd(
		"suspend ID",
		"Refuse requests with a key, and the keys made through it, until it is resumed here",
		func(a *admin.Admin, ctx context.Context, id admin.ID) (admin.Key, error) {
			return a.SuspendKey(ctx, id, reason)
		},
	)
	cmd.Flags().StringVar(&reason, "reason", "", "reason; requests with the key are refused with this text")
	requireFlags(cmd, "reason")
	return cmd
}

func keysRotateCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rotate ID",
		Short: "Replace a key and print the new one; the old one is refused at once, the keys made through it stay",
		Args:  cobra.ExactArgs(1),
	}
	return onID(cmd, []string{"secret"}, "key", (*admin.Admin).RotateKey, admin.Printer.NewKey)
}

func keyCmd(use, short string, change func(*admin.Admin, context.Context, admin.ID) (admin.Key, error)) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Args: cobra.ExactArgs(1)}
	return onID(cmd, nil, "key", change, admin.Printer.Key)
}
