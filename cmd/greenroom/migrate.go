package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"github.com/uptrace/bun"

	"greenroom/cmd/internal/config"
	"greenroom/cmd/internal/service"
	"greenroom/db"
)

func migrateCmd() *cobra.Command {
	cmd := &cobra.Command{Use: "migrate", Short: "Apply, roll back or list the migrations of the database schema"}
	cmd.AddCommand(
		migrationCmd("up", "Apply missing migrations and create the partitions of the next days", migrateUp),
		migrationCmd("down", "Roll back the last applied group; its tables and their rows are deleted", migrateDown),
		migrationCmd("status", "List the migrations", migrateStatus),
	)
	return cmd
}

func migrationCmd(use, short string, run func(context.Context, *bun.DB, io.Writer) error) *cobra.Command {
	cmd := &cobra.Command{
		Use: use, Short: short, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := config.Load(cmd.Flags())
			if err != nil {
				return err
			}
			if err := cfg.Require("database.url"); err != nil {
				return err
			}
			d, err := service.OpenDB(cmd.Context(), cfg)
			if err != nil {
				return err
			}
			defer d.Close()
			return run(cmd.Context(), d, cmd.OutOrStdout())
		},
	}
	config.AddFlags(cmd.Flags(), "database.url")
	return cmd
}

func migrateUp(ctx context.Context, d *bun.DB, out io.Writer) error {
	applied, err := db.Migrate(ctx, d)
	if err != nil {
		return err
	}
	if len(applied) == 0 {
		fmt.Fprintln(out, "nothing to apply")
	}
	for _, name := range applied {
		fmt.Fprintln(out, "applied", name)
	}
	return nil
}

func migrateDown(ctx context.Context, d *bun.DB, out io.Writer) error {
	rolledBack, err := db.Rollback(ctx, d)
	if err != nil {
		return err
	}
	if len(rolledBack) == 0 {
		fmt.Fprintln(out, "nothing to roll back")
	}
	for _, name := range rolledBack {
		fmt.Fprintln(out, "rolled back", name)
	}
	return nil
}

func migrateStatus(ctx context.Context, d *bun.DB, out io.Writer) error {
	all, err := db.MigrationStatus(ctx, d)
	if err != nil {
		return err
	}
	for _, m := range all {
		state := "missing"
		if !m.AppliedAt.IsZero() {
			state = "applied " + m.AppliedAt.UTC().Format("2006-01-02 15:04:05Z")
		}
		fmt.Fprintf(out, "%s\t%s\n", m.Name, state)
	}
	return nil
}
