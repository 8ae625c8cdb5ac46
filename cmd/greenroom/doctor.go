package main

import (
	"context"
	"os"

	"github.com/spf13/cobra"

	"greenroom/api/console"
	"greenroom/cmd/internal/admin"
	"greenroom/cmd/internal/config"
	"greenroom/cmd/internal/doctor"
)

func doctorCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Examine settings, stores and everything that is reached, and name the cure of each problem",
		Long: "Examines the settings, PostgreSQL (version, durability, pooler, migrations, partitions, clock), the\n" +
			"sealing keys, Temporal (namespace, search attributes, workers), the hosts of active webhooks, the mail\n" +
			"server and the store of uploads. Run it where the API or a worker runs, with the same settings. It changes\n" +
			"nothing, except that it writes and deletes one small upload. The exit code is 1 when it finds a problem.",
		Args: cobra.NoArgs,
	}
	config.AddFlags(cmd.Flags(), "database.url", "temporal.address", "dev.dir")
	asJSON := cmd.Flags().Bool("json", false, "print JSON")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := config.Load(cmd.Flags())
		if err != nil {
			return err
		}
		if cfg, err = admin.WithDevDir(cfg); err != nil {
			return err
		}
		findings := doctor.Examine(cmd.Context(), doctor.Options{Config: cfg, Environ: os.Environ()})
		if err := doctor.Print(admin.NewPrinter(cmd.OutOrStdout(), *asJSON), findings); err != nil {
			return err
		}
		if doctor.Broken(findings) {
			return exitError(1)
		}
		return nil
	}
	return cmd
}

// examination is the doctor's, for the console.
func examination(cfg config.Config) func(context.Context) []console.Finding {
	return func(ctx context.Context) (shown []console.Finding) {
		for _, f := range doctor.Examine(ctx, doctor.Options{Config: cfg, Environ: os.Environ()}) {
			shown = append(shown, console.Finding{Check: f.Check, State: string(f.State), Found: f.Found, Cure: f.Cure})
		}
		return shown
	}
}
