package main

import (
	"context"

	"github.com/spf13/cobra"

	"greenroom/cmd/internal/admin"
)

func deliveriesCancelCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "cancel ID", Short: "Cancel a delivery that has not ended; no further attempt is made",
		Args: cobra.ExactArgs(1),
	}
	return operator(cmd, nil, func(ctx context.Context, a *admin.Admin, p admin.Printer, args []string) error {
		id, err := admin.ParseID("delivery", args[0])
		if err != nil {
			return err
		}
		d, err := a.CancelDelivery(ctx, id)
		if err != nil {
			return err
		}
		return p.Delivery(d)
	})
}
