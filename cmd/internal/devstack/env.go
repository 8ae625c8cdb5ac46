package devstack

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/subosito/gotenv"

	"greenroom/db/seal"
)

// Secrets are the secrets of an installation. A development machine generates them once.
type Secrets struct {
	Secret string // 32 bytes in hexadecimal
	Keyset string // Tink AEAD keyset in JSON
}

// LoadSecrets reads Dir/secrets (mode 0600) and creates it the first time. It is an environment file, so
// that API and worker can also be run separately: set -a; . .data/secrets; greenroom api.
func LoadSecrets(dir string) (Secrets, error) {
	path := filepath.Join(dir, "secrets")
	env, err := gotenv.Read(path)
	if errors.Is(err, os.ErrNotExist) {
		return newSecrets(path)
	}
	if err != nil {
		return Secrets{}, fmt.Errorf("read the secrets: %w", err)
	}
	s := Secrets{Secret: env["GREENROOM_SECRET"], Keyset: env["GREENROOM_KEYSET"]}
	if s.Secret == "" || s.Keyset == "" {
		return Secrets{}, fmt.Errorf(
			"%s lacks GREENROOM_SECRET or GREENROOM_KEYSET: data encrypted with them cannot be read; "+
				"restore the file, or remove %s to start with empty data",
			path,
			dir,
		)
	}
	return s, nil
}

func newSecrets(path string) (Secrets, error) {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	keyset, err := seal.NewKeyset()
	if err != nil {
		return Secrets{}, err
	}
	s := Secrets{Secret: hex.EncodeToString(key), Keyset: strings.TrimSpace(keyset)}
	content := fmt.Sprintf("GREENROOM_SECRET=%s\nGREENROOM_KEYSET='%s'\n", s.Secret, s.Keyset)
	return s, writeFile(path, content)
}

// DevEnv has what a client of a running `greenroom dev` needs.
type DevEnv struct {
	URL    string // of the API
	APIKey string // the demo key
}

func devEnvPath(dir string) string { return filepath.Join(dir, "dev.env") }

// WriteDevEnv writes Dir/dev.env (mode 0600) atomically. The file exists only while the API is ready.
func WriteDevEnv(dir string, env DevEnv) error {
	return writeFile(devEnvPath(dir), fmt.Sprintf("GREENROOM_URL=%s\nGREENROOM_API_KEY=%s\n", env.URL, env.APIKey))
}

// RemoveDevEnv is called before the API starts and after it has stopped.
func RemoveDevEnv(dir string) error {
	if err := os.Remove(devEnvPath(dir)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove %s: %w", devEnvPath(dir), err)
	}
	return nil
}

// writeFile replaces the file atomically. Only this user can read it.
func writeFile(path, content string) error {
	file, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*") // mode 0600
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer os.Remove(file.Name()) // already renamed on success
	_, err = file.WriteString(content)
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := os.Rename(file.Name(), path); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// Banner lists the addresses of a ready `greenroom dev`.
type Banner struct {
	ConsoleURL string // a link that signs in once; empty: omitted
	APIURL     string
	DocsURL    string
	UIURL      string // Temporal's web UI; empty: omitted
	Dir        string
	FirstStart bool // the demo company is new
}

// Print writes the banner.
func (b Banner) Print(w io.Writer) {
	lines := [][2]string{
		{"Console", b.ConsoleURL},
		{"API", b.APIURL},
		{"Docs", b.DocsURL},
		{"Temporal UI", b.UIURL},
		{"API key", "in " + devEnvPath(b.Dir)},
		{"Data", b.Dir},
	}
	title := "Greenroom is ready"
	if b.FirstStart {
		title += "; a demo company and its API key were created"
	}
	fmt.Fprintf(w, "\n  %s\n\n", title)
	for _, line := range lines {
		if line[1] != "" {
			fmt.Fprintf(w, "  %-12s %s\n", line[0], line[1])
		}
	}
	if b.ConsoleURL != "" {
		fmt.Fprintf(w, "\n  The console's link signs in once, within 15 minutes.\n")
	}
	fmt.Fprintf(w, "\n  Try it:      make demo\n  Stop:        Ctrl-C\n\n")
}
