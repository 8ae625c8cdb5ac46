package main

import (
	"github.com/spf13/cobra"

	"greenroom/cmd/internal/admin"
	"greenroom/cmd/internal/config"
)

func configCmd() *cobra.Command {
	cmd := &cobra.Command{Use: "config", Short: "Show the settings as a process with this environment reads them"}
	cmd.AddCommand(configListCmd())
	return cmd
}

func configListCmd() *cobra.Command {
	var set bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List every setting with its value, masked if it is a secret, and where that comes from",
		Example: "  greenroom config list --set\n" +
			"  greenroom config list --config greenroom.yaml --json",
		Args: cobra.NoArgs,
	}
	cmd.Flags().BoolVar(&set, "set", false, "only settings that have no default value")
	// All flags that a process may have.
	config.AddFlags(cmd.Flags(), "http.addr", "database.url", "temporal.address", "worker.http_addr", "dev.dir",
		"dev.postgres_port", "dev.temporal_port", "dev.temporal_ui_port")
	asJSON := cmd.Flags().Bool("json", false, "print JSON")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		settings, err := config.EffectiveSettings(cmd.Flags())
		if err != nil {
			return err
		}
		if err := admin.NewPrinter(cmd.OutOrStdout(), *asJSON).Settings(settings, set); err != nil {
			return err
		}
		_, err = config.Load(cmd.Flags()) // says what is wrong with the values
		return err
	}
	return cmd
}
