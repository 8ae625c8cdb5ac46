package main

import (
	"context"

	"github.com/spf13/cobra"

	"greenroom/cmd/internal/admin"
)

func companiesCmd() *cobra.Command {
	cmd := &cobra.Command{Use: "companies", Short: "List companies"}
	cmd.AddCommand(companiesListCmd())
	return cmd
}

func companiesListCmd() *cobra.Command {
	var limit int64
	cmd := &cobra.Command{Use: "list", Short: "List companies, newest first", Args: cobra.NoArgs}
	cmd.Flags().Int64Var(&limit, "limit", 100, "maximum number of companies")
	return operator(cmd, nil, func(ctx context.Context, a *admin.Admin, p admin.Printer, _ []string) error {
		companies, err := a.ListCompanies(ctx, limit)
		if err != nil {
			return err
		}
		return p.Companies(companies)
	})
}
