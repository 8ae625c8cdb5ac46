package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"greenroom/cmd/internal/testbed"
)

// profileTime is the length of a profile in seconds, shorter than a full-sized load.
func profileTime(quick bool) int {
	if quick {
		return 1
	}
	return 10
}

// profile starts to record CPU profiles of API and worker if requested. done waits for them.
func (s *system) profile(ctx context.Context) (done func() error) {
	group, ctx := errgroup.WithContext(ctx)
	for name, addr := range s.profileAddr {
		group.Go(func() error {
			file := filepath.Join(s.opts.Profiles, fmt.Sprintf("%s-%s.pprof", s.label, name))
			return fetch(ctx, fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", addr, profileTime(s.opts.Quick)), file)
		})
	}
	return group.Wait
}

func fetch(ctx context.Context, url, file string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	const most, pause = 100, 100 * time.Millisecond
	for tries := 0; errors.Is(err, syscall.ECONNREFUSED) && tries < most && testbed.Sleep(ctx, pause) == nil; tries++ {
		resp, err = http.DefaultClient.Do(req) // the process has only just started
	}
	if err != nil {
		return fmt.Errorf("record a profile: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("record a profile: %s", resp.Status)
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return fmt.Errorf("keep a profile: %w", err)
	}
	out, err := os.Create(file)
	if err != nil {
		return fmt.Errorf("keep a profile: %w", err)
	}
	defer out.Close()
	_, err = io.Copy(out, resp.Body)
	return err
}
