package main

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"greenroom/cmd/internal/config"
)

// settingsTopic is the page `greenroom help settings`, generated from the table that config.Load uses.
func settingsTopic() *cobra.Command {
	var page strings.Builder
	page.WriteString(
		"A setting is taken from the first of: a flag, the environment, a YAML file (--config or GREENROOM_CONFIG).\n" +
			"In the file, a.b is the key b below a.\n\n",
	)
	table := tabwriter.NewWriter(&page, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "SETTING\tENVIRONMENT\tDEFAULT\tMEANING")
	for _, s := range config.Describe() {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", s.Name, s.Env, s.Default, s.Meaning)
	}
	_ = table.Flush() // a strings.Builder returns no errors
	return &cobra.Command{Use: "settings", Short: "All settings, with their defaults", Long: page.String()}
}
