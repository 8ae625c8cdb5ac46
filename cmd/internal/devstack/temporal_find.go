package devstack

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/testsuite"
)

const (
	// temporalVersion is the release of Temporal's command-line program, which contains the development server and its
	// UI.
	temporalVersion = "1.5.1"
	temporalModule  = "github.com/temporalio/cli"
	// probeLimit is how long to wait for the download server before building instead.
	probeLimit = 5 * time.Second
	// downloadLimit is the limit for about 50 MB.
	downloadLimit = 3 * time.Minute
)

// FindTemporal returns the path of a temporal program: the one on PATH, otherwise the one in the user's cache, which it
// downloads (the official build, if the network allows it) or builds with Go, once, with progress on log. Two
// concurrent processes fetch it once.
func FindTemporal(ctx context.Context, log io.Writer) (string, error) {
	if path, err := exec.LookPath("temporal"); err == nil {
		return path, nil
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find the user's cache for the Temporal program: %w: set HOME, or put temporal on PATH", err)
	}
	dir := filepath.Join(cache, "greenroom", "temporal-"+temporalVersion)
	program := filepath.Join(dir, "temporal")
	if _, err := os.Stat(program); err == nil {
		return program, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("create the cache for the Temporal program: %w", err)
	}
	lock, err := waitLock(ctx, filepath.Join(dir, "lock"), log)
	if err != nil {
		return "", err
	}
	defer lock.Close()
	if _, err := os.Stat(program); err == nil {
		return program, nil // another process fetched it
	}
	return program, fetchTemporal(ctx, dir, program, log)
}

// waitLock waits for another process that fetches the program. The kernel releases the lock when its holder ends.
func waitLock(ctx context.Context, path string, log io.Writer) (*os.File, error) {
	waiting := false
	for {
		lock, err := tryLock(path)
		if err == nil {
			return lock, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, err
		}
		if !waiting {
			fmt.Fprintln(log, "another Greenroom is fetching the Temporal program: waiting for it …")
			waiting = true
		}
		if sleep(ctx, 500*time.Millisecond) != nil {
			return nil, ctx.Err()
		}
	}
}

// tryLock acquires the lock or fails at once with EWOULDBLOCK. Closing the file releases it.
func tryLock(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open lock: %w", err)
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		file.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return file, nil
}

func fetchTemporal(ctx context.Context, dir, program string, log io.Writer) error {
	fresh, err := os.MkdirTemp(dir, "fetch-")
	if err != nil {
		return fmt.Errorf("create a directory for the Temporal program: %w", err)
	}
	defer os.RemoveAll(fresh)
	made, err := downloadTemporal(ctx, fresh, log)
	if err != nil {
		if made, err = buildTemporal(ctx, fresh, log); err != nil {
			return err
		}
	}
	if err := os.Rename(made, program); err != nil {
		return fmt.Errorf("rename the Temporal program: %w", err)
	}
	return nil
}

// downloadTemporal uses the SDK to download the official build. The SDK does it only when it starts a server,
// which also checks that the program runs on this machine.
func downloadTemporal(ctx context.Context, dir string, log io.Writer) (string, error) {
	if err := probe(ctx, "https://temporal.download/"); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, downloadLimit)
	defer cancel()
	step := startStep(log, "fetching Temporal "+temporalVersion+" (once)")
	server, err := testsuite.StartDevServer(ctx, testsuite.DevServerOptions{
		CachedDownload: testsuite.CachedDownload{Version: "v" + temporalVersion, DestDir: dir},
		ClientOptions:  &client.Options{Logger: silentLogger()},
		Stdout:         io.Discard,
		Stderr:         io.Discard,
	})
	step.end(err)
	if err != nil {
		return "", fmt.Errorf("fetch Temporal: %w", err)
	}
	server.Client().Close()
	if err := server.Stop(); err != nil {
		return "", fmt.Errorf("stop the fetched Temporal: %w", err)
	}
	return filepath.Join(dir, "temporal-cli-v"+temporalVersion), nil
}

// probe avoids a wait in networks without Internet access: the SDK's downloader has no time limit.
func probe(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, probeLimit)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodHead, url, http.NoBody)
	if err != nil {
		return fmt.Errorf("probe %s: %w", url, err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("probe %s: %w", url, err)
	}
	return response.Body.Close()
}

// buildTemporal compiles the program with the Go that is on PATH: measured 3 to 6 minutes on 2 cores with nothing
// cached.
func buildTemporal(ctx context.Context, dir string, log io.Writer) (string, error) {
	goProgram, err := exec.LookPath("go")
	if err != nil {
		return "", fmt.Errorf(
			"the Temporal program is not on PATH, could not be downloaded, and cannot be built without Go: "+
				"install Temporal CLI %s, or set GREENROOM_TEMPORAL_ADDRESS to a Temporal you have",
			temporalVersion,
		)
	}
	cmd := command(
		ctx,
		goProgram,
		"install",
		"-v",
		"-ldflags=-s -w -X "+temporalModule+"/temporalcli.Version="+temporalVersion,
		temporalModule+"/cmd/temporal@v"+temporalVersion,
	)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOBIN="+dir, "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off", "GO111MODULE=on")
	output, err := cmd.StderrPipe()
	if err != nil {
		return "", fmt.Errorf("build Temporal: %w", err)
	}
	fmt.Fprintln(
		log,
		"the Temporal program is not on PATH and cannot be downloaded: building it with Go, 3 to 6 minutes on 2 cores",
	)
	step := startStep(log, "building Temporal "+temporalVersion+" (once)")
	if err = cmd.Start(); err == nil {
		last := countPackages(output, step)
		if err = cmd.Wait(); err != nil {
			err = fmt.Errorf(
				"build Temporal: %w: %s: put temporal %s on PATH, or set GREENROOM_TEMPORAL_ADDRESS to a Temporal you have",
				reason(ctx, err),
				last,
				temporalVersion,
			)
		}
	}
	step.end(err)
	return filepath.Join(dir, "temporal"), err
}

// countPackages turns Go's output, a line for each module fetched and each package compiled, into the step's detail. It
// returns the last line, which is the reason of a failure.
func countPackages(output io.Reader, step *step) (last string) {
	var modules, packages int
	lines := bufio.NewScanner(output)
	for lines.Scan() {
		last = lines.Text()
		if strings.HasPrefix(last, "go: downloading ") {
			modules++
		} else {
			packages++
		}
		step.set(fmt.Sprintf("%d modules, %d packages", modules, packages))
	}
	return last
}
