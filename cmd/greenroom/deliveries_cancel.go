package main

import (
	"github.com/spf13/cobra"

	"greenroom/cmd/internal/admin"
)

func deliveriesCancelCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "cancel ID", Short: "Cancel a delivery that has not ended; no further attempt is made",
		Args: cobra.ExactArgs(1),
	}
	return onID(cmd, nil, "delivery", (*admin.Admin).CancelDelivery, admin.Printer.Delivery)
}
