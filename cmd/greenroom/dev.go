package main

import (
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"greenroom/cmd/internal/devstack"
)

func devCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Run everything on this machine: PostgreSQL, Temporal, API, worker and a simulator of the outside world",
		Args:  cobra.NoArgs,
	}
	cmd.AddCommand(devExecCmd())
	return cmd
}

func devExecCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "exec -- COMMAND [ARGUMENTS]",
		Short: "Run a command with throw-away stores in its environment, for tests",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
			defer stop()
			code, err := devstack.Exec(ctx, args, cmd.ErrOrStderr())
			if err == nil && code != 0 {
				err = exitError(code)
			}
			return err
		},
	}
}
