package main

import (
	"errors"
	"os"

	"github.com/spf13/cobra"

	"greenroom/activities/webhook/profiles"
	"greenroom/cmd/internal/listen"
)

// listenCmd receives, verifies and prints webhooks until Ctrl-C.
func listenCmd() *cobra.Command {
	var opts listen.RunOptions
	var isRegistered bool
	cmd := &cobra.Command{
		Use:   "listen",
		Short: "Receive webhooks, verify their signatures, print them and forward them",
		Example: "  greenroom listen --secret $GREENROOM_WEBHOOK_SECRET\n" +
			"  greenroom listen --register --events 'interview.*' --forward-to http://127.0.0.1:3000/webhooks\n" +
			"  greenroom listen --addr 127.0.0.1:0 --fail 3 --status 503",
		Args:         cobra.NoArgs,
		SilenceUsage: true,
	}
	f := cmd.Flags()
	f.StringVar(&opts.Addr, "addr", "127.0.0.1:9000", "address to listen on; port 0 takes a free one")
	f.StringVar(&opts.Secret, "secret", "", "signing secret, 64 hex digits or whsec_… (default $GREENROOM_WEBHOOK_SECRET)")
	f.BoolVar(&opts.JSON, "json", false, "print each delivery with its whole body as one line of JSON")
	f.StringVar(&opts.ForwardTo, "forward-to", "", "URL to send deliveries on to, as they came; its answer is the answer")
	badReceiverFlags(cmd, &opts.Options)
	f.BoolVar(&isRegistered, "register", false,
		"register a webhook through a running API, print its secret, and delete it at the end")
	registration := registrationFlags(cmd)
	cmd.MarkFlagsMutuallyExclusive("register", "secret")
	cmd.RunE = func(cmd *cobra.Command, _ []string) (err error) {
		if opts.Register, err = registration(isRegistered); err != nil {
			return err
		}
		if opts.Secret == "" && !isRegistered {
			opts.Secret = os.Getenv("GREENROOM_WEBHOOK_SECRET")
		}
		ctx, stop := untilSignal(cmd.Context())
		defer stop()
		opts.Out, opts.Log = cmd.OutOrStdout(), cmd.ErrOrStderr()
		if opts.Register != nil {
			opts.Link = opts.Register.Link
		} else if s, err := apiSettings(cmd, ""); err == nil && s.DevDir != "" {
			opts.Link = s.Link
		}
		return unlessCanceled(ctx, listen.Run(ctx, opts))
	}
	return cmd
}

// registrationFlags adds the flags of --register. The function returns their values, or nil without --register.
func registrationFlags(cmd *cobra.Command) func(bool) (*listen.Registration, error) {
	var r listen.Registration
	f := cmd.Flags()
	f.StringSliceVar(&r.Events, "events", []string{"*"}, "with --register: event types, or patterns such as interview.*")
	f.StringVar(&r.Profile, "profile", profiles.Standard, "with --register: contract of the deliveries")
	f.StringVar(&r.Company, "company", "", "with --register: id of the company whose events to receive")
	f.StringVar(&r.URL, "public-url", "", "with --register: URL at which the API reaches this receiver (default: --addr)")
	settings := apiFlags(cmd)
	_ = cmd.RegisterFlagCompletionFunc("profile",
		func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return profiles.Names(), cobra.ShellCompDirectiveNoFileComp
		})
	_ = cmd.RegisterFlagCompletionFunc("events",
		func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
			return eventTypes(cmd.Context(), settings, r.Company), cobra.ShellCompDirectiveNoFileComp
		})
	return func(isRegistered bool) (_ *listen.Registration, err error) {
		if !isRegistered {
			for _, name := range []string{"events", "profile", "company", "public-url", "url", "key"} {
				if f.Changed(name) {
					return nil, errors.New("--" + name + " needs --register")
				}
			}
			return nil, nil //nolint:nilnil // no registration is an ordinary answer
		}
		r.Settings, err = settings()
		return &r, err
	}
}

// badReceiverFlags adds the flags that simulate a failing or slow receiver.
func badReceiverFlags(cmd *cobra.Command, opts *listen.Options) {
	f := cmd.Flags()
	f.IntVar(&opts.Fail, "fail", 0, "answer the first N deliveries with --status")
	f.IntVar(&opts.Status, "status", 500, "status of the deliveries that --fail refuses")
	f.DurationVar(&opts.Delay, "delay", 0, "wait this long before every answer")
}
