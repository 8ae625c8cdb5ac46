package main

import (
	"context"
	"errors"
	"syscall"

	"github.com/spf13/cobra"

	"greenroom/cmd/internal/config"
	"greenroom/cmd/internal/devstack"
)

// interrupted is the exit code that shells report for a command ended by Ctrl-C.
const interrupted = exitError(128 + int(syscall.SIGINT))

func devExecCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "exec -- COMMAND [ARGUMENTS]",
		Short: "Run a command, usually tests, with temporary stores and their addresses in its environment",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := untilSignal(cmd.Context())
			defer stop()
			code, err := devstack.Exec(ctx, args, cmd.ErrOrStderr())
			if ctx.Err() != nil && errors.Is(err, context.Canceled) {
				return interrupted
			}
			if err == nil && code != 0 {
				err = exitError(code)
			}
			return err
		},
	}
}

func devCleanCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "clean",
		Short: "Remove all data of `greenroom dev`; refuses while it runs",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := config.Load(cmd.Flags())
			if err != nil {
				return err
			}
			return devstack.Remove(cfg.Dev.Dir)
		},
	}
	config.AddFlags(cmd.Flags(), "dev.dir")
	return cmd
}
