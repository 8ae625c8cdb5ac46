package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"greenroom/cmd/internal/admin"
	"greenroom/db"
)

func staffCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "staff",
		Short: "Create, list and delete staff users of the interview suite, directly in the database",
	}
	cmd.AddCommand(staffCreateCmd(), staffListCmd(), staffTokenCmd(), staffDeleteCmd())
	return cmd
}

func staffCreateCmd() *cobra.Command {
	var r admin.StaffRequest
	var fromStdin bool
	cmd := &cobra.Command{
		Use:   "create",
		Short: "Create a staff user",
		Example: "  greenroom staff create --company Acme --username eva --email eva@acme.example --type owner " +
			"--password-stdin < password.txt",
		Args: cobra.NoArgs,
	}
	f := cmd.Flags()
	f.StringVar(&r.Company, "company", "", "name or id of the user's company")
	f.StringVar(&r.Username, "username", "", "login name; unique in the company")
	f.StringVar(&r.Email, "email", "", "e-mail address; also accepted as the login name")
	f.StringVar(&r.FirstName, "first-name", "", "first name")
	f.StringVar(&r.LastName, "last-name", "", "last name")
	f.StringVar(&r.AccountType, "type", string(db.Recruiter), "account type: "+admin.AccountTypes())
	f.BoolVar(&fromStdin, "password-stdin", false,
		"read the password from the first line of standard input; a user without a password cannot log in")
	return onDatabase(cmd, nil, func(ctx context.Context, a *admin.Admin, p admin.Printer, _ []string) (err error) {
		if fromStdin {
			if r.Password, err = firstLine(cmd.InOrStdin()); err != nil {
				return err
			}
		}
		m, err := a.CreateStaff(ctx, r)
		if err != nil {
			return err
		}
		return p.StaffUser(m)
	})
}

// firstLine reads a password. There is no flag for it because other users of the machine can see arguments.
func firstLine(in io.Reader) (string, error) {
	line, err := bufio.NewReader(io.LimitReader(in, 4096)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("read the password: %w", err)
	}
	line = strings.TrimRight(line, "\r\n")
	if line == "" {
		return "", errors.New("standard input has no password")
	}
	return line, nil
}

func staffListCmd() *cobra.Command {
	var company string
	cmd := &cobra.Command{Use: "list", Short: "List the staff users of a company, oldest first", Args: cobra.NoArgs}
	cmd.Flags().StringVar(&company, "company", "", "name or id of the company")
	return onDatabase(cmd, nil, func(ctx context.Context, a *admin.Admin, p admin.Printer, _ []string) error {
		users, err := a.ListStaff(ctx, company)
		if err != nil {
			return err
		}
		return p.StaffUsers(users)
	})
}

func staffTokenCmd() *cobra.Command {
	var idleDays int
	var permanent bool
	cmd := &cobra.Command{
		Use:   "token ID",
		Short: "Create a token for a staff user and print it; it is not shown again",
		Args:  cobra.ExactArgs(1),
	}
	cmd.Flags().IntVar(&idleDays, "idle-days", 14, "the token expires after this many days without use")
	cmd.Flags().BoolVar(&permanent, "permanent", false, "the token does not expire; deleting the user ends it")
	cmd.MarkFlagsMutuallyExclusive("idle-days", "permanent")
	return onDatabase(
		cmd,
		[]string{"secret"},
		func(ctx context.Context, a *admin.Admin, p admin.Printer, args []string) error {
			id, err := admin.ParseID("staff user", args[0])
			if err != nil {
				return err
			}
			if permanent {
				idleDays = 0
			} else if idleDays < 1 {
				return errors.New("--idle-days must be at least 1; use --permanent for a token that does not expire")
			}
			t, err := a.CreateToken(ctx, id, idleDays)
			if err != nil {
				return err
			}
			return p.StaffToken(t)
		},
	)
}

func staffDeleteCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "delete ID",
		Short: "Delete a staff user; its tokens end, its notes and ratings stay",
		Args:  cobra.ExactArgs(1),
	}
	return onDatabase(cmd, nil, doOnID("staff user", (*admin.Admin).DeleteStaff, admin.Printer.StaffUser))
}
