package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"greenroom/api"
	"greenroom/cmd/internal/admin"
)

func webhooksRotateCmd() *cobra.Command {
	var overlap time.Duration
	var brought bool
	cmd := &cobra.Command{
		Use:   "rotate-secret ID",
		Short: "Replace a webhook's signing secret; the one before it signs too for a while",
		Example: "  greenroom webhooks rotate-secret 01a1fd9e-b9bb-70e8-bf88-ad192063a4fe --overlap 48h\n" +
			"  greenroom webhooks rotate-secret 01a1fd9e-b9bb-70e8-bf88-ad192063a4fe --secret-stdin <secret.txt",
		Args: cobra.ExactArgs(1),
	}
	cmd.Flags().
		DurationVar(&overlap, "overlap", api.SecretOverlap, "how long the secret before it signs too, at most 168h")
	cmd.Flags().BoolVar(&brought, "secret-stdin", false, "read the new secret from standard input: whsec_… or hex digits")
	return operator(cmd, []string{"keyset"}, func(
		ctx context.Context, a *admin.Admin, p admin.Printer, args []string,
	) error {
		id, err := admin.ParseID("webhook", args[0])
		if err != nil {
			return err
		}
		secret := ""
		if brought {
			if secret, err = readSecret(cmd.InOrStdin()); err != nil {
				return err
			}
		}
		rotated, err := a.RotateSecret(ctx, id, secret, overlap)
		if err != nil {
			return err
		}
		return p.RotatedSecret(rotated)
	})
}

// readSecret reads a line. An empty one is an error, because it would generate a secret.
func readSecret(in io.Reader) (string, error) {
	text, err := io.ReadAll(io.LimitReader(in, 1<<10))
	if err != nil {
		return "", fmt.Errorf("read the secret: %w", err)
	}
	secret := strings.TrimSpace(string(text))
	if secret == "" {
		return "", errors.New("there is no secret on standard input")
	}
	return secret, nil
}

func webhooksSecretsCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "secrets ID",
		Short: "List the signing secrets that a webhook uses, by fingerprint",
		Args:  cobra.ExactArgs(1),
	}
	return onID(cmd, []string{"keyset"}, "webhook", (*admin.Admin).Secrets, admin.Printer.SigningSecrets)
}

func webhooksRevokeCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "revoke-secret ID FINGERPRINT",
		Short: "Stop signing with an earlier secret",
		Args:  cobra.ExactArgs(2),
	}
	return operator(cmd, []string{"keyset"}, func(
		ctx context.Context, a *admin.Admin, p admin.Printer, args []string,
	) error {
		id, err := admin.ParseID("webhook", args[0])
		if err != nil {
			return err
		}
		left, err := a.RevokeSecret(ctx, id, args[1])
		if err != nil {
			return err
		}
		return p.SigningSecrets(left)
	})
}
