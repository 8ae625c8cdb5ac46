package devstack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
)

// temporalServerVersion is the release of the full server, which stores its state in PostgreSQL. Its programs are only
// published in container images, so they are always built.
const (
	temporalServerVersion = "1.31.2"
	temporalServerModule  = "go.temporal.io/server"
)

// TemporalServerPrograms are the full server's programs.
type TemporalServerPrograms struct {
	Server string // runs all four services in one process
	SQL    string // creates and updates the schema
}

// FindTemporalServer returns the full Temporal server from the user's cache. It builds it there with Go the first
// time, with progress on log: 5 to 8 minutes on 2 cores with an empty cache. Two concurrent processes
// build it once.
func FindTemporalServer(ctx context.Context, log io.Writer) (TemporalServerPrograms, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return TemporalServerPrograms{}, fmt.Errorf("find the user's cache for the Temporal server: %w: set HOME", err)
	}
	dir := filepath.Join(cache, "greenroom", "temporal-server-"+temporalServerVersion)
	programs := TemporalServerPrograms{Server: filepath.Join(dir, "server"), SQL: filepath.Join(dir, "sql")}
	if programs.there() {
		return programs, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return programs, fmt.Errorf("create the cache for the Temporal server: %w", err)
	}
	lock, err := waitLock(ctx, filepath.Join(dir, "lock"), log)
	if err != nil {
		return programs, err
	}
	defer lock.Close()
	if programs.there() {
		return programs, nil // another process built it
	}
	return programs, fetchTemporalServer(ctx, dir, programs, log)
}

func (p TemporalServerPrograms) there() bool {
	_, errServer := os.Stat(p.Server)
	_, errSQL := os.Stat(p.SQL)
	return errServer == nil && errSQL == nil
}

// fetchTemporalServer builds in a temporary directory and renames it, so that an aborted build does not leave an
// incomplete result.
func fetchTemporalServer(ctx context.Context, dir string, programs TemporalServerPrograms, log io.Writer) error {
	fresh, err := os.MkdirTemp(dir, "build-")
	if err != nil {
		return fmt.Errorf("create a directory for the Temporal server: %w", err)
	}
	defer os.RemoveAll(fresh)
	if err := buildTemporalServer(ctx, fresh, log); err != nil {
		return err
	}
	err = errors.Join(
		os.Rename(filepath.Join(fresh, "server"), programs.Server),
		os.Rename(filepath.Join(fresh, "sql"), programs.SQL),
	)
	if err != nil {
		return fmt.Errorf("rename the directory of the Temporal server: %w", err)
	}
	return nil
}

func buildTemporalServer(ctx context.Context, dir string, log io.Writer) error {
	goProgram, err := exec.LookPath("go")
	if err != nil {
		return errors.New(
			"building the Temporal server needs Go on PATH: install Go, or use the development server",
		)
	}
	cmd := command(
		ctx,
		goProgram,
		"install",
		"-v",
		"-ldflags=-s -w",
		temporalServerModule+"/cmd/server@v"+temporalServerVersion,
		temporalServerModule+"/cmd/tools/sql@v"+temporalServerVersion,
	)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOBIN="+dir, "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off", "GO111MODULE=on")
	output, err := cmd.StderrPipe()
	if err != nil {
		return fmt.Errorf("build the Temporal server: %w", err)
	}
	step := startStep(log, "building the Temporal server "+temporalServerVersion+" (once)")
	if err = cmd.Start(); err == nil {
		last := countPackages(output, step)
		if err = cmd.Wait(); err != nil {
			err = fmt.Errorf("build the Temporal server: %w: %s", reason(ctx, err), last)
		}
	}
	step.end(err)
	return err
}
