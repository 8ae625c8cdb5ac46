package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"greenroom/cmd/internal/demo"
)

// demoCmd runs one interview against a running `greenroom dev` and shows its webhooks.
func demoCmd() *cobra.Command {
	var opts demo.Options
	cmd := &cobra.Command{
		Use:          "demo",
		Short:        "Run one interview against a running `greenroom dev` and watch its webhooks arrive",
		Example:      "  greenroom demo\n  greenroom demo --fail 1 --status 503",
		Args:         cobra.NoArgs,
		SilenceUsage: true,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			opts.Out = cmd.OutOrStdout()
			if opts.Settings, err = apiSettings(cmd, ""); err != nil {
				return err
			}
			err = demo.Run(ctx, opts)
			if errors.Is(err, context.Canceled) {
				return fmt.Errorf("the demo was stopped before it finished: %w", err)
			}
			return err
		},
	}
	badReceiverFlags(cmd, &opts.Receiver)
	cmd.Flags().BoolVar(&opts.Keep, "keep", false, "do not delete the webhook at the end")
	cmd.Flags().DurationVar(&opts.Wait, "wait", time.Minute, "longest wait for the interview and its deliveries")
	return cmd
}
