package main

import (
	"context"

	"github.com/spf13/cobra"

	"greenroom/cmd/internal/admin"
)

func interviewsCmd() *cobra.Command {
	cmd := &cobra.Command{Use: "interviews", Short: "List, show and cancel interviews"}
	cmd.AddCommand(interviewsListCmd(), interviewsShowCmd(), interviewsCancelCmd())
	return cmd
}

func interviewsListCmd() *cobra.Command {
	var q admin.InterviewQuery
	cmd := &cobra.Command{
		Use: "list", Short: "List interviews, newest first", Args: cobra.NoArgs,
		Example: "  greenroom interviews list --company Acme --status IN_PROGRESS",
	}
	f := cmd.Flags()
	f.StringVar(&q.Company, "company", "", "only interviews of the company with this name or id")
	f.StringVar(&q.Status, "status", "", "only this status: SCHEDULED, IN_PROGRESS, COMPLETED, FAILED or CANCELED")
	_ = cmd.RegisterFlagCompletionFunc("status", fixed(admin.InterviewStatuses())) // fails only for an unknown flag
	f.Int64Var(&q.Limit, "limit", 50, "maximum number of interviews")
	return operator(cmd, nil, func(ctx context.Context, a *admin.Admin, p admin.Printer, _ []string) error {
		list, err := a.ListInterviews(ctx, q)
		if err != nil {
			return err
		}
		return p.Interviews(list)
	})
}

func interviewsShowCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "show ID", Short: "Show an interview, without its transcript and its link", Args: cobra.ExactArgs(1),
	}
	return onID(cmd, nil, "interview", (*admin.Admin).GetInterview, admin.Printer.Interview)
}

func interviewsCancelCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "cancel ID", Short: "Cancel an interview that has not ended, and its calls", Args: cobra.ExactArgs(1),
	}
	return onID(cmd, nil, "interview", (*admin.Admin).CancelInterview, admin.Printer.Interview)
}
