package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"greenroom/cmd/internal/listen"
)

// listenCmd receives, verifies and prints webhooks until Ctrl-C.
func listenCmd() *cobra.Command {
	var opts listen.Options
	var addr string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "listen",
		Short: "Receive webhooks, verify their signatures and print them",
		Example: "  greenroom listen --secret $GREENROOM_WEBHOOK_SECRET\n  greenroom listen --addr 127.0.0.1:0 " +
			"--fail 3 --status 503",
		Args:         cobra.NoArgs,
		SilenceUsage: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if opts.Secret == "" {
				opts.Secret = os.Getenv("GREENROOM_WEBHOOK_SECRET")
			}
			return runListen(cmd, addr, asJSON, opts)
		},
	}
	f := cmd.Flags()
	f.StringVar(&addr, "addr", "127.0.0.1:9000", "address to listen on; port 0 takes a free one")
	f.StringVar(&opts.Secret, "secret", "", "signing secret, 64 hex digits or whsec_… (default $GREENROOM_WEBHOOK_SECRET)")
	f.BoolVar(&asJSON, "json", false, "print each delivery with its whole body as one line of JSON")
	badReceiverFlags(cmd, &opts)
	return cmd
}

// badReceiverFlags adds the flags that simulate a failing or slow receiver.
func badReceiverFlags(cmd *cobra.Command, opts *listen.Options) {
	f := cmd.Flags()
	f.IntVar(&opts.Fail, "fail", 0, "answer the first N deliveries with --status")
	f.IntVar(&opts.Status, "status", 500, "status of the deliveries that --fail refuses")
	f.DurationVar(&opts.Delay, "delay", 0, "wait this long before every answer")
}

func runListen(cmd *cobra.Command, addr string, asJSON bool, opts listen.Options) (err error) {
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	printer := listen.NewPrinter(cmd.OutOrStdout(), asJSON)
	opts.OnDelivery = printer.Print
	receiver, err := listen.New(opts)
	if err != nil {
		return err
	}
	srv, err := listen.Serve(context.WithoutCancel(ctx), addr, receiver)
	if err != nil {
		return err
	}
	// Only deliveries go to standard output, so that it can be piped.
	fmt.Fprintf(cmd.ErrOrStderr(), "Listening for webhooks on %s (Ctrl-C ends)\n", srv.URL)
	if opts.Secret == "" {
		fmt.Fprintln(cmd.ErrOrStderr(), "Deliveries are not verified: no --secret")
	}
	err = errors.Join(srv.Wait(ctx), srv.Close())
	listen.NewPrinter(cmd.ErrOrStderr(), false).PrintSummary(receiver.Summary())
	return err
}
