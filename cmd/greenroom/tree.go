package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// finish gives every command of the tree the same behaviour: a group refuses an unknown command and suggests another,
// a command names missing arguments and required flags and shows its usage. Cobra itself prints a group's help and
// succeeds, so that a script with a misspelled command would not notice.
func finish(cmd *cobra.Command) {
	if cmd.HasSubCommands() {
		cmd.Args = refuseUnknown
		if !cmd.Runnable() {
			cmd.DisableFlagsInUseLine = true
			cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
		}
	} else if cmd.Runnable() && cmd.Args != nil {
		cmd.Args = explainArguments(cmd.Args)
	}
	complete(cmd)
	for _, sub := range cmd.Commands() {
		finish(sub)
	}
}

// refuseUnknown is the check of the arguments of a group.
func refuseUnknown(group *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	hint := "see " + group.CommandPath() + " --help"
	group.SuggestionsMinimumDistance = 2
	if near := group.SuggestionsFor(args[0]); len(near) > 0 {
		hint = "did you mean " + strings.Join(near, " or ") + "?"
	}
	return fmt.Errorf("unknown command %q for %q: %s", args[0], group.CommandPath(), hint)
}

// explainArguments names what is missing or too much, by the words of Use, where check refuses the arguments.
func explainArguments(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		problem := missingFlag(cmd)
		if err := check(cmd, args); err != nil {
			names := argumentNames(cmd)
			switch {
			case len(args) < len(names):
				problem = names[len(args)] + " is missing"
			case len(args) > len(names):
				problem = fmt.Sprintf("unexpected argument %q", args[len(names)])
			default:
				problem = err.Error()
			}
		}
		if problem == "" {
			return nil
		}
		return fmt.Errorf("%s: usage: %s", problem, usage(cmd))
	}
}

// argumentNames returns the required arguments in Use.
func argumentNames(cmd *cobra.Command) []string {
	return slices.DeleteFunc(strings.Fields(cmd.Use)[1:], func(word string) bool {
		return word == "--" || strings.HasPrefix(word, "[")
	})
}

// usage is cobra's usage line with the required flags.
func usage(cmd *cobra.Command) string {
	line := strings.TrimSuffix(cmd.UseLine(), " [flags]")
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if isRequired(f) {
			line += fmt.Sprintf(" --%s %s", f.Name, strings.ToUpper(f.Name))
		}
	})
	return line + " [flags]"
}

func isRequired(f *pflag.Flag) bool { return len(f.Annotations[cobra.BashCompOneRequiredFlag]) > 0 }

func missingFlag(cmd *cobra.Command) string {
	var missing []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if isRequired(f) && !f.Changed {
			missing = append(missing, "--"+f.Name)
		}
	})
	switch len(missing) {
	case 0:
		return ""
	case 1:
		return missing[0] + " is required"
	}
	return strings.Join(missing, " and ") + " are required"
}

// requireFlags marks flags as required.
func requireFlags(cmd *cobra.Command, names ...string) {
	for _, name := range names {
		_ = cmd.MarkFlagRequired(name) // fails only for an unknown flag
	}
}

// flagValues says what a flag of a type takes.
var flagValues = map[string]string{
	"int": "a whole number", "int64": "a whole number", "uint64": "a whole number that is not negative",
	"float64": "a number", "duration": "a duration such as 30s or 5m", "bool": "true or false",
}

// explainFlag is the error for a flag that cannot be read.
func explainFlag(cmd *cobra.Command, err error) error {
	if wrong, is := errors.AsType[*pflag.InvalidValueError](err); is {
		if takes := flagValues[wrong.GetFlag().Value.Type()]; takes != "" {
			return fmt.Errorf("--%s must be %s, not %q", wrong.GetFlag().Name, takes, wrong.GetValue())
		}
	}
	return fmt.Errorf("%w: see %s --help", err, cmd.CommandPath())
}

// refuseUnknownTopic makes `greenroom help` fail for an unknown command, as the command itself does.
func refuseUnknownTopic(root *cobra.Command) {
	root.InitDefaultHelpCmd()
	for _, cmd := range root.Commands() {
		if cmd.Name() != "help" {
			continue
		}
		cmd.Run = nil
		cmd.RunE = func(_ *cobra.Command, args []string) error {
			found, rest, err := root.Find(args)
			if err != nil {
				return err
			}
			if len(rest) > 0 {
				return refuseUnknown(found, rest)
			}
			found.InitDefaultHelpFlag()
			return found.Help()
		}
		cmd.Args = cobra.ArbitraryArgs
	}
}
