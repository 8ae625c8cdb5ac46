package main

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"greenroom/cmd/internal/config"
)

// settingsTopic is `greenroom help settings`: a page without a command, made from the table that the program reads.
func settingsTopic() *cobra.Command {
	var page strings.Builder
	page.WriteString(
		"Settings come from a flag, the environment, or a YAML file (--config or GREENROOM_CONFIG), in this order.\n" +
			"In the file, a.b is b under a.\n\n",
	)
	table := tabwriter.NewWriter(&page, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "SETTING\tENVIRONMENT\tDEFAULT\tMEANING")
	for _, s := range config.Describe() {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", s.Name, s.Env, s.Default, s.Meaning)
	}
	_ = table.Flush() // a builder takes everything
	return &cobra.Command{Use: "settings", Short: "All settings, with their defaults", Long: page.String()}
}
