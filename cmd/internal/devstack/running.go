package devstack

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// postmasterPort is the line of postmaster.pid, from 0, that holds the port (PostgreSQL's src/include/utils/pidfile.h).
const postmasterPort = 3

// ErrNotRunning means that no PostgreSQL of a `greenroom dev` is ready in the directory.
var ErrNotRunning = errors.New("greenroom dev is not ready here")

func temporalAddressPath(dir string) string { return filepath.Join(dir, "temporal.address") }

// TemporalAddress returns the address of Temporal that the `greenroom dev` in the directory used last; "": none did.
func TemporalAddress(dir string) (string, error) {
	address, err := os.ReadFile(temporalAddressPath(dir))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("read the address of Temporal: %w", err)
	}
	return strings.TrimSpace(string(address)), nil
}

// RunningDatabase returns the URL of the database of the `greenroom dev` that runs in the directory. It returns
// ErrNotRunning if none runs.
func RunningDatabase(dir string) (string, error) {
	p := &Postgres{opts: PostgresOptions{Dir: dir}}
	password, err := os.ReadFile(p.passwordFile())
	if err != nil {
		return "", fmt.Errorf("%w: read the cluster's password: %w", ErrNotRunning, err)
	}
	p.password = strings.TrimSpace(string(password))
	state, err := os.ReadFile(filepath.Join(dir, "postgres", "postmaster.pid"))
	if err != nil {
		return "", fmt.Errorf("%w: read the server's state: %w", ErrNotRunning, err)
	}
	lines := strings.Split(string(state), "\n")
	if len(lines) <= postmasterPort {
		return "", fmt.Errorf("%w: its server is still starting", ErrNotRunning)
	}
	if p.opts.Port, err = strconv.Atoi(strings.TrimSpace(lines[postmasterPort])); err != nil {
		return "", fmt.Errorf("read the server's port: %w", err)
	}
	return p.URL(), nil
}
