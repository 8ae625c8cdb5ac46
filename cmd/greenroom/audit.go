package main

import (
	"context"

	"github.com/spf13/cobra"

	"greenroom/cmd/internal/admin"
)

func auditCmd() *cobra.Command {
	cmd := &cobra.Command{Use: "audit", Short: "Show who changed what"}
	cmd.AddCommand(auditListCmd())
	return cmd
}

func auditListCmd() *cobra.Command {
	var company, target string
	var limit int64
	cmd := &cobra.Command{Use: "list", Short: "List the entries of the audit log, newest first", Args: cobra.NoArgs}
	cmd.Flags().StringVar(&company, "company", "", "only entries about the company with this name or id")
	cmd.Flags().StringVar(&target, "target", "", "only entries about the webhook, key, user … with this id")
	cmd.Flags().Int64Var(&limit, "limit", 100, "maximum number of entries")
	return operator(cmd, nil, func(ctx context.Context, a *admin.Admin, p admin.Printer, _ []string) error {
		entries, err := a.ListAudit(ctx, company, target, limit)
		if err != nil {
			return err
		}
		return p.Audit(entries)
	})
}
