// Package testbed has what bench, chaos and the crash tests need to run Greenroom as child processes: a work
// directory, the environment of the processes, a readiness check and a company with an API key.
package testbed

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"greenroom/cmd/internal/devstack"
	"greenroom/db"
	"greenroom/db/pg"
)

// NoLimit is a rate limit for API keys that no load reaches.
const NoLimit = 100_000_000

const workPattern = "run-*"

// NewWorkDir creates a directory below dir for the data of one run. It first removes the directories of killed runs.
func NewWorkDir(dir string) (string, error) {
	abandoned, _ := filepath.Glob(filepath.Join(dir, workPattern)) // the pattern is well-formed
	for _, path := range abandoned {
		_ = devstack.Remove(path) // refused while another run uses it
	}
	if err := os.MkdirAll(dir, 0o711); err != nil { // PostgreSQL's unprivileged user needs access
		return "", fmt.Errorf("create a directory: %w", err)
	}
	work, err := os.MkdirTemp(dir, workPattern)
	if err == nil && os.Geteuid() == 0 {
		err = os.Chmod(work, 0o711)
	}
	if err != nil {
		return "", fmt.Errorf("create a directory for the data: %w", err)
	}
	return work, nil
}

// Environment returns the environment of an API or worker: that of this process, the given variables, then settings of
// the form name=value. It leaves out the caller's own GREENROOM_* and TEMPORAL_* variables, such as TEMPORAL_TLS,
// which would configure the process for another installation.
func Environment(variables, settings []string) []string {
	var env []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "GREENROOM_") && !strings.HasPrefix(v, "TEMPORAL_") {
			env = append(env, v)
		}
	}
	env = append(env, variables...)
	for _, s := range settings {
		name, value, _ := strings.Cut(s, "=")
		env = append(env, "GREENROOM_"+strings.ToUpper(strings.ReplaceAll(name, ".", "_"))+"="+value)
	}
	return env
}

// CheckReady returns an error unless the API or worker at url is ready.
func CheckReady(ctx context.Context, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/readyz", http.NoBody)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("not ready: %s", resp.Status)
	}
	return nil
}

// CreateCompany creates a company and an API key for it. secret is the HMAC key for the hashes of keys.
func CreateCompany(ctx context.Context, d *bun.DB, secret []byte, name string) (key string, err error) {
	key, hash, prefix := db.GenerateKey(secret)
	err = pg.InTx(ctx, d, func(ctx context.Context, tx bun.Tx) error {
		c := &db.Company{Name: name}
		if err := db.CreateCompany(ctx, tx, c); err != nil {
			return err
		}
		return db.CreateAPIKey(ctx, tx, &db.APIKey{
			CompanyID: &c.ID, Name: "test bed", Hash: hash, Prefix: prefix, Scopes: []string{"*"},
			RatePerMinute: NoLimit, RatePerHour: NoLimit,
		}, "cli")
	})
	return key, err
}

// Sleep waits for d, or returns the error of ctx.
func Sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
