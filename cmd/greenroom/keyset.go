package main

import (
	"context"

	"github.com/spf13/cobra"

	"greenroom/cmd/internal/admin"
)

func keysetCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "keyset",
		Short: "Rotate the keyset that encrypts signing secrets and header values, without downtime",
		Long: "The keyset (GREENROOM_KEYSET) has one key that seals; all of its keys open. It rotates in these steps:\n\n" +
			"  1. greenroom keyset add      prints the keyset with a new key; restart every process with it\n" +
			"  2. greenroom keyset promote  prints the keyset in which that key seals; restart every process with it\n" +
			"  3. greenroom keyset reseal   seals the stored values again\n" +
			"  4. greenroom keyset drop     prints the keyset without the older keys; restart every process with it\n\n" +
			"Each command reads the keyset of the step before from GREENROOM_KEYSET.",
	}
	cmd.AddCommand(
		stepCmd("keyset", "status", "List the keys, and how many values each has sealed", (*admin.Admin).KeysetKeys,
			admin.Printer.KeysetKeys),
		stepCmd("keyset", "add", "Print the keyset with a new key that does not seal yet", (*admin.Admin).AddKeysetKey,
			admin.Printer.ChangedKeyset),
		stepCmd("keyset", "promote", "Print the keyset in which its newest key seals",
			(*admin.Admin).PromoteKeysetKey, admin.Printer.ChangedKeyset),
		stepCmd("keyset", "reseal", "Seal again what older keys sealed; the installation works on", (*admin.Admin).Reseal,
			admin.Printer.Resealed),
		stepCmd(
			"keyset",
			"drop",
			"Print the keyset without the keys that no value is sealed with",
			(*admin.Admin).DropKeysetKeys,
			admin.Printer.ChangedKeyset,
		),
	)
	return cmd
}

// stepCmd makes a command without arguments that does one thing with a setting and prints its outcome.
func stepCmd[T any](
	setting, use, short string,
	do func(*admin.Admin, context.Context) (T, error),
	show func(admin.Printer, T) error,
) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Args: cobra.NoArgs}
	return onDatabase(cmd, []string{setting}, func(
		ctx context.Context, a *admin.Admin, p admin.Printer, _ []string,
	) error {
		out, err := do(a, ctx)
		if err != nil {
			return err
		}
		return show(p, out)
	})
}
