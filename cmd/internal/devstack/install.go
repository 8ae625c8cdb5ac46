package devstack

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
)

// packageManager installs a program. The first whose program exists is used.
type packageManager struct {
	program  string
	needRoot bool
	script   string // run by sh, as root where needed
	byHand   string // command to suggest to a user without permission
}

// installable is a program that the system's package manager can install. release ("release 14 or newer") and otherwise
// ("set …") complete the advice to a user for whom it cannot.
type installable struct {
	name, release, otherwise string
	managers                 []packageManager // in order of preference
}

// postgresServer: Debian's package creates and starts a cluster on port 5432, which is not wanted: a drop-in file that
// exists only during the installation prevents it. The others start nothing.
var postgresServer = installable{
	name: "PostgreSQL", release: fmt.Sprintf("release %d or newer", MinPostgres),
	otherwise: "set GREENROOM_DATABASE_URL to a database you have",
	managers: []packageManager{
		{"brew", false, "HOMEBREW_NO_AUTO_UPDATE=1 brew install postgresql@17", "brew install postgresql@17"},
		{"apt-get", true, `
		conf=/etc/postgresql-common/createcluster.d
		mkdir -p $conf && echo 'create_main_cluster = off' >$conf/greenroom.conf
		trap 'rm -f $conf/greenroom.conf' EXIT; trap 'exit 1' INT TERM
		export DEBIAN_FRONTEND=noninteractive
		apt-get update -q && apt-get install -q -y --no-install-recommends postgresql`, "sudo apt-get install postgresql"},
		{"dnf", true, "dnf install -y postgresql-server", "sudo dnf install postgresql-server"},
		{"apk", true, "apk add postgresql", "sudo apk add postgresql"},
		{"pacman", true, "pacman -Sy --noconfirm postgresql", "sudo pacman -S postgresql"},
		{"zypper", true, "zypper --non-interactive install postgresql-server", "sudo zypper install postgresql-server"},
	},
}

// installPostgres uses the system's package manager if this user may. Its error says what to do otherwise.
func installPostgres(ctx context.Context, log io.Writer) error {
	return postgresServer.install(ctx, log)
}

func (i installable) install(ctx context.Context, log io.Writer) error {
	for _, manager := range i.managers {
		if _, err := exec.LookPath(manager.program); err != nil {
			continue
		}
		prefix, may := privilege(ctx, manager.needRoot)
		if !may {
			return fmt.Errorf("%s is not installed and this user may not install it: run %q, or %s",
				i.name, manager.byHand, i.otherwise)
		}
		return i.run(ctx, manager, prefix, log)
	}
	return fmt.Errorf("%s is not installed and no known package manager was found: install %s, or %s",
		i.name, i.release, i.otherwise)
}

// privilege returns the prefix for a command that needs root. It never asks for a password.
func privilege(ctx context.Context, needRoot bool) (prefix []string, may bool) {
	if !needRoot || os.Geteuid() == 0 {
		return nil, true
	}
	if exec.CommandContext(ctx, "sudo", "-n", "true").Run() == nil {
		return []string{"sudo", "-n"}, true
	}
	return nil, false
}

func (i installable) run(ctx context.Context, m packageManager, prefix []string, log io.Writer) error {
	step := startStep(log, "installing "+i.name+" with "+m.program)
	line := append(prefix, "sh", "-c", m.script)
	cmd := command(ctx, line[0], line[1:]...)
	out, err := cmd.CombinedOutput()
	step.end(err)
	if err != nil {
		return fmt.Errorf("install %s: %w: %s: run %q by hand, or %s",
			i.name, reason(ctx, err), lastLine(out), m.byHand, i.otherwise)
	}
	return nil
}
