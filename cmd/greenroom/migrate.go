package main

import (
	"context"
	"errors"
	"io"
	"math"
	"os"

	"github.com/spf13/cobra"
	"github.com/uptrace/bun"
	"golang.org/x/term"

	"greenroom/cmd/internal/admin"
	"greenroom/cmd/internal/config"
	"greenroom/cmd/internal/service"
	"greenroom/db"
	"greenroom/db/pg"
)

func migrateCmd() *cobra.Command {
	cmd := &cobra.Command{Use: "migrate", Short: "Apply, roll back or list the migrations of the database schema"}
	cmd.AddCommand(migrateUpCmd(), migrateDownCmd(), migrateStatusCmd())
	return cmd
}

func migrateUpCmd() *cobra.Command {
	var dryRun bool
	cmd := &cobra.Command{
		Use: "up", Short: "Apply missing migrations and create the partitions of the next days", Args: cobra.NoArgs,
	}
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "only print the SQL of the missing migrations")
	return migrationCmd(cmd, 0, func(ctx context.Context, d *bun.DB, p admin.Printer) error {
		if dryRun {
			pending, err := admin.PendingMigrations(ctx, d)
			if err != nil {
				return err
			}
			return p.PendingMigrations(pending)
		}
		applied, err := db.Migrate(ctx, d)
		if err != nil {
			return err
		}
		return p.Applied(applied)
	})
}

func migrateDownCmd() *cobra.Command {
	var r admin.RollbackRequest
	var all bool
	cmd := &cobra.Command{
		Use:   "down",
		Short: "Roll back the newest migration; tables and columns that it added are deleted",
		Long: "Rolls back the newest migration. It first shows the tables and columns that are deleted, with the number\n" +
			"of their rows, and asks for the name of the database. It refuses while other processes of Greenroom are\n" +
			"connected.",
		Args: cobra.NoArgs,
	}
	f := cmd.Flags()
	f.IntVar(&r.Steps, "steps", 1, "number of migrations to roll back")
	f.BoolVar(&all, "all", false, "roll back all migrations: this empties the database")
	f.BoolVar(&r.Yes, "yes", false, "do not ask; without a terminal this is required")
	f.BoolVar(&r.Force, "force", false, "roll back although other processes of Greenroom are connected")
	cmd.MarkFlagsMutuallyExclusive("steps", "all")
	// One connection, so that all others are those of other processes.
	return migrationCmd(cmd, 1, func(ctx context.Context, d *bun.DB, p admin.Printer) error {
		if all {
			r.Steps = math.MaxInt32
		} else if r.Steps < 1 {
			return errors.New("--steps must be at least 1")
		}
		r.Terminal, r.Log = terminal(cmd.InOrStdin()), cmd.ErrOrStderr()
		rolledBack, err := admin.RollBack(ctx, d, r)
		if err != nil {
			return err
		}
		return p.Rollback(rolledBack)
	})
}

// terminal returns in if it is a terminal, otherwise nil.
func terminal(in io.Reader) io.Reader {
	if file, isFile := in.(*os.File); isFile && term.IsTerminal(int(file.Fd())) {
		return file
	}
	return nil
}

func migrateStatusCmd() *cobra.Command {
	var check bool
	cmd := &cobra.Command{Use: "status", Short: "List the migrations; changes nothing", Args: cobra.NoArgs}
	cmd.Flags().BoolVar(&check, "check", false, "exit with 1 if a migration is missing")
	return migrationCmd(cmd, 0, func(ctx context.Context, d *bun.DB, p admin.Printer) error {
		all, missing, err := admin.Migrations(ctx, d)
		if err != nil {
			return err
		}
		if err := p.Migrations(all); err != nil {
			return err
		}
		if check && missing {
			return exitError(1)
		}
		return nil
	})
}

// migrationCmd makes cmd act on the database, which need not be migrated, through maxConns connections; 0: as
// configured.
func migrationCmd(
	cmd *cobra.Command, maxConns int, run func(context.Context, *bun.DB, admin.Printer) error,
) *cobra.Command {
	config.AddFlags(cmd.Flags(), "database.url")
	asJSON := cmd.Flags().Bool("json", false, "print JSON")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := config.Load(cmd.Flags())
		if err != nil {
			return err
		}
		if err := cfg.Require("database.url"); err != nil {
			return err
		}
		if maxConns > 0 {
			cfg.Database.MaxConns = maxConns
		}
		d, err := service.OpenDB(cmd.Context(), cfg)
		if err != nil {
			return err
		}
		defer pg.Close(d)
		return run(cmd.Context(), d, admin.NewPrinter(cmd.OutOrStdout(), *asJSON))
	}
	return cmd
}
