package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"greenroom/cmd/internal/admin"
	"greenroom/cmd/internal/client"
	"greenroom/cmd/internal/config"
)

// whatToOperate is the rule by which open decides, for the help.
const whatToOperate = `Commands that operate an installation work through its API or on its database. The first of these
decides:

    --url, --key       the API at that address
    database.url       that database (--database-url, GREENROOM_DATABASE_URL, or the file --config)
    dev.dir            the database of the greenroom dev that runs there (--dev-dir, GREENROOM_DEV_DIR, or the file)
    GREENROOM_URL      the API at that address, with the key in GREENROOM_API_KEY
    greenroom dev      the database of the one that runs in .data

A key for the API of a running ` + "`greenroom dev`" + ` need not be set. Commands that work only on the database say
so.`

// operation is what a command does and prints.
type operation = func(context.Context, *admin.Admin, admin.Printer, []string) error

// operator makes cmd act on the database or through the API: see whatToOperate. It adds the flags that select them, and
// --json. secrets are the settings that the command needs on the database in addition to database.url.
func operator(cmd *cobra.Command, secrets []string, run operation) *cobra.Command {
	config.AddFlags(cmd.Flags(), "database.url", "dev.dir")
	cmd.Flags().String("url", "", "address of the API to work through (default $GREENROOM_URL; see greenroom --help)")
	cmd.Flags().String("key", "", "API key (default $GREENROOM_API_KEY, or that of a running greenroom dev)")
	cmd.MarkFlagsMutuallyExclusive("url", "database-url")
	cmd.MarkFlagsMutuallyExclusive("key", "database-url")
	asJSON := cmd.Flags().Bool("json", false, "print JSON")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		a, err := open(cmd.Context(), cmd, secrets...)
		if err != nil {
			return err
		}
		defer a.Close()
		return run(cmd.Context(), a, admin.NewPrinter(cmd.OutOrStdout(), *asJSON), args)
	}
	return cmd
}

// onlyDatabase marks commands and flags that do not work through the API.
const onlyDatabase = "greenroom_only_database"

// onDatabase makes cmd act on the database alone.
func onDatabase(cmd *cobra.Command, secrets []string, run operation) *cobra.Command {
	operator(cmd, secrets, run)
	cmd.Annotations = map[string]string{onlyDatabase: ""}
	_ = cmd.Flags().MarkHidden("url") // fails only for an unknown flag
	_ = cmd.Flags().MarkHidden("key")
	return cmd
}

// needsDatabase marks flags with which a command works only on the database.
func needsDatabase(cmd *cobra.Command, names ...string) {
	for _, name := range names {
		_ = cmd.Flags().SetAnnotation(name, onlyDatabase, []string{""}) // fails only for an unknown flag
	}
}

// databaseFor is what makes cmd work only on the database: itself or a flag; "": nothing.
func databaseFor(cmd *cobra.Command) (what string) {
	if _, only := cmd.Annotations[onlyDatabase]; only {
		return cmd.CommandPath()
	}
	cmd.Flags().Visit(func(f *pflag.Flag) {
		if _, only := f.Annotations[onlyDatabase]; only {
			what = "--" + f.Name
		}
	})
	return what
}

// open returns what cmd acts on.
func open(ctx context.Context, cmd *cobra.Command, secrets ...string) (*admin.Admin, error) {
	cfg, err := config.Load(cmd.Flags())
	if err != nil {
		return nil, err
	}
	byFlag := cmd.Flags().Changed("url") || cmd.Flags().Changed("key")
	// Who has set a database acts as an operator, also in a shell with the variables of a customer's requests.
	byVariable := os.Getenv("GREENROOM_URL") != "" && !cfg.Explicit("database.url") && !cfg.Explicit("dev.dir")
	what := databaseFor(cmd)
	switch {
	case what == "" && (byFlag || byVariable):
		s, err := apiSettings(cmd, cfg.Dev.Dir)
		if err != nil {
			return nil, err
		}
		return admin.Connect(s.URL, s.APIKey)
	case byFlag:
		return nil, fmt.Errorf("%s works only on the database, not through the API: leave out --url and --key", what)
	}
	a, err := admin.Open(ctx, cfg, secrets...)
	if err != nil && byVariable {
		err = errors.Join(err, fmt.Errorf("%s works only on the database: GREENROOM_URL is not enough", what))
	}
	return a, err
}

// apiSettings are --url and --key or, without them, those of the environment or of `greenroom dev` in devDir.
func apiSettings(cmd *cobra.Command, devDir string) (client.Settings, error) {
	given := map[string]string{"GREENROOM_DEV_DIR": devDir}
	for flag, name := range map[string]string{"url": "GREENROOM_URL", "key": "GREENROOM_API_KEY"} {
		if f := cmd.Flags().Lookup(flag); f != nil {
			given[name] = f.Value.String()
		}
	}
	s, err := client.LoadSettings(func(name string) string {
		if value := given[name]; value != "" {
			return value
		}
		return os.Getenv(name)
	})
	if s.DevDir != "" {
		s.SignIn = func(ctx context.Context, page string) (string, error) { return signInLink(ctx, s, page) }
	}
	return s, err
}

// onID makes cmd a command whose first argument is the id of what do works on, and which prints the outcome.
func onID[T any](
	cmd *cobra.Command, secrets []string, what string,
	do func(*admin.Admin, context.Context, admin.ID) (T, error), show func(admin.Printer, T) error,
) *cobra.Command {
	return operator(cmd, secrets, doOnID(what, do, show))
}

func doOnID[T any](
	what string, do func(*admin.Admin, context.Context, admin.ID) (T, error), show func(admin.Printer, T) error,
) operation {
	return func(ctx context.Context, a *admin.Admin, p admin.Printer, args []string) error {
		id, err := admin.ParseID(what, args[0])
		if err != nil {
			return err
		}
		out, err := do(a, ctx, id)
		if err != nil {
			return err
		}
		return show(p, out)
	}
}

// period parses --since and --until. A duration such as 24h means that long before now.
func period(since, until string) (from, to time.Time, err error) {
	now := time.Now()
	if from, err = admin.Moment("since", since, now, true); err != nil {
		return from, to, err
	}
	to, err = admin.Moment("until", until, now, true)
	return from, to, err
}
