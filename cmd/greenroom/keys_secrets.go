package main

import (
	"github.com/spf13/cobra"

	"greenroom/cmd/internal/admin"
)

func keysSecretsCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "secrets",
		Short: "Generate the secrets of a new installation as an environment file; needs no database",
		Args:  cobra.NoArgs,
	}
	asJSON := cmd.Flags().Bool("json", false, "print JSON")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		s, err := admin.NewSecrets()
		if err != nil {
			return err
		}
		return admin.NewPrinter(cmd.OutOrStdout(), *asJSON).Secrets(s)
	}
	return cmd
}
