package devstack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
)

// MinPostgres is the oldest release that Greenroom is tested on.
const MinPostgres = 15

// postgresPlaces are directories outside PATH where packages install the server's programs: Debian and Ubuntu, the
// PostgreSQL project's RPMs, Alpine, Homebrew on Apple's and on Intel's processors.
var postgresPlaces = []string{
	"/usr/lib/postgresql/*/bin",
	"/usr/pgsql-*/bin",
	"/usr/libexec/postgresql*",
	"/opt/homebrew/opt/postgresql@*/bin",
	"/usr/local/opt/postgresql@*/bin",
}

// postgresPrograms describes an installed release.
type postgresPrograms struct {
	dir   string
	major int
}

func (p postgresPrograms) path(program string) string { return filepath.Join(p.dir, program) }

// findPostgres prefers the release on PATH, then the newest suitable one.
func findPostgres(ctx context.Context, fits func(major int) bool) (best postgresPrograms, found bool) {
	if path, err := exec.LookPath("postgres"); err == nil {
		if p, ok := postgresIn(ctx, filepath.Dir(path)); ok && fits(p.major) {
			return p, true
		}
	}
	for _, pattern := range postgresPlaces {
		dirs, _ := filepath.Glob(pattern) // the patterns are well-formed
		for _, dir := range dirs {
			if p, ok := postgresIn(ctx, dir); ok && fits(p.major) && p.major > best.major {
				best, found = p, true
			}
		}
	}
	return best, found
}

var postgresVersion = regexp.MustCompile(`\(PostgreSQL\) (\d+)`)

// postgresIn runs the program to get its release: a directory's name can be wrong, and a client package has no server.
func postgresIn(ctx context.Context, dir string) (postgresPrograms, bool) {
	p := postgresPrograms{dir: dir}
	if _, err := os.Stat(p.path("initdb")); err != nil {
		return p, false
	}
	out, err := exec.CommandContext(ctx, p.path("postgres"), "--version").Output()
	match := postgresVersion.FindSubmatch(out)
	if err != nil || match == nil {
		return p, false
	}
	p.major, err = strconv.Atoi(string(match[1]))
	return p, err == nil
}

func findOrInstallPostgres(ctx context.Context, log io.Writer) (postgresPrograms, error) {
	supported := func(major int) bool { return major >= MinPostgres }
	if p, ok := findPostgres(ctx, supported); ok {
		return p, nil
	}
	if err := ctx.Err(); err != nil { // canceled during the search: the result is incomplete
		return postgresPrograms{}, err
	}
	if err := installPostgres(ctx, log); err != nil {
		return postgresPrograms{}, err
	}
	if p, ok := findPostgres(ctx, supported); ok {
		return p, nil
	}
	if p, ok := findPostgres(ctx, func(int) bool { return true }); ok {
		return p, fmt.Errorf(
			"PostgreSQL %d in %s is too old: install release %d or newer, or set GREENROOM_DATABASE_URL to a database you have",
			p.major,
			p.dir,
			MinPostgres,
		)
	}
	return postgresPrograms{}, errors.New(
		"PostgreSQL was installed but its server programs were not found: put postgres and initdb on PATH",
	)
}
