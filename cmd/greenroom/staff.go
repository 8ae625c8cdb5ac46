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
		Short: "Make, list and delete staff users of the interview suite, directly in the database",
	}
	cmd.AddCommand(staffCreateCmd(), staffListCmd(), staffTokenCmd(), staffDeleteCmd())
	return cmd
}

func staffCreateCmd() *cobra.Command {
	var r admin.StaffRequest
	var fromStdin bool
	cmd := &cobra.Command{
		Use:   "create",
		Short: "Make a staff user",
		Example: "  greenroom staff create --company Acme --username eva --email eva@acme.example --type owner " +
			"--password-stdin < password.txt",
		Args: cobra.NoArgs,
	}
	f := cmd.Flags()
	f.StringVar(&r.Company, "company", "", "whose user it is: the name or id of a company")
	f.StringVar(&r.Username, "username", "", "what the user logs in with; unique in the company")
	f.StringVar(&r.Email, "email", "", "e-mail address; it can be used to log in too")
	f.StringVar(&r.FirstName, "first-name", "", "first name")
	f.StringVar(&r.LastName, "last-name", "", "last name")
	f.StringVar(&r.AccountType, "type", string(db.Recruiter), "what the user may do: "+admin.AccountTypes())
	f.BoolVar(
		&fromStdin,
		"password-stdin",
		false,
		"read the password from the first line of standard input; without one nobody can log in as this user",
	)
	return operator(cmd, nil, func(ctx context.Context, a *admin.Admin, p admin.Printer, _ []string) (err error) {
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

// firstLine reads a password: never from a flag, which other users of the machine can see.
func firstLine(in io.Reader) (string, error) {
	line, err := bufio.NewReader(io.LimitReader(in, 4096)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("read the password: %w", err)
	}
	line = strings.TrimRight(line, "\r\n")
	if line == "" {
		return "", errors.New("there is no password on standard input")
	}
	return line, nil
}

func staffListCmd() *cobra.Command {
	var company string
	cmd := &cobra.Command{Use: "list", Short: "List the staff users of a company, oldest first", Args: cobra.NoArgs}
	cmd.Flags().StringVar(&company, "company", "", "the name or id of the company")
	return operator(cmd, nil, func(ctx context.Context, a *admin.Admin, p admin.Printer, _ []string) error {
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
		Short: "Make a token of a staff user and print it, once",
		Args:  cobra.ExactArgs(1),
	}
	cmd.Flags().IntVar(&idleDays, "idle-days", 14, "it dies after so many days without use")
	cmd.Flags().BoolVar(&permanent, "permanent", false, "it does not die before its user")
	cmd.MarkFlagsMutuallyExclusive("idle-days", "permanent")
	return operator(
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
				return errors.New("--idle-days must be at least 1; --permanent makes a token that does not die")
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
		Short: "Delete a staff user; its tokens end, what it wrote and rated stays",
		Args:  cobra.ExactArgs(1),
	}
	return operator(cmd, nil, func(ctx context.Context, a *admin.Admin, p admin.Printer, args []string) error {
		id, err := admin.ParseID("staff user", args[0])
		if err != nil {
			return err
		}
		m, err := a.DeleteStaff(ctx, id)
		if err != nil {
			return err
		}
		return p.StaffUser(m)
	})
}
