package main

import (
	"github.com/spf13/cobra"

	"greenroom/cmd/internal/admin"
)

func candidatesCmd() *cobra.Command {
	cmd := &cobra.Command{Use: "candidates", Short: "Erase candidates and show erasures, directly in the database"}
	cmd.AddCommand(candidatesEraseCmd(), candidatesErasureCmd())
	return cmd
}

func candidatesEraseCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "erase ID",
		Short: "Erase a candidate, also a deleted one; it cannot be undone",
		Long: "Deletes the candidate and removes the person's data at once. A worker then removes it from events,\n" +
			"deliveries, stored answers and files, and delivers candidate.erased: see greenroom candidates erasure ID.",
		Args: cobra.ExactArgs(1),
	}
	return onDatabase(cmd, nil, doOnID("candidate", (*admin.Admin).EraseCandidate, admin.Printer.Erasure))
}

func candidatesErasureCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "erasure ID",
		Short: "Show what the erasure of a candidate removed, and which webhooks have confirmed it",
		Args:  cobra.ExactArgs(1),
	}
	return onDatabase(cmd, nil, doOnID("candidate", (*admin.Admin).GetErasure, admin.Printer.Erasure))
}
