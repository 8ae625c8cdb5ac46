package admin

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"strings"

	"greenroom/db/seal"
)

// Secrets are what an installation is given once and must keep: without them neither API keys nor signing secrets can
// be read again.
type Secrets struct {
	Secret string `json:"secret"`
	Keyset string `json:"keyset"`
}

// NewSecrets makes secrets for a new installation.
func NewSecrets() (Secrets, error) {
	key := make([]byte, 32) // the strength of the hash that it is for, HMAC-SHA-256
	_, _ = rand.Read(key)   // crypto/rand.Read never fails: it ends the program instead
	keyset, err := seal.NewKeyset()
	return Secrets{Secret: hex.EncodeToString(key), Keyset: strings.TrimSpace(keyset)}, err
}

// Secrets prints them as an environment file, which a shell and Docker Compose read.
func (p Printer) Secrets(s Secrets) error {
	return p.Value(s, func(out io.Writer) {
		fmt.Fprintf(out, "GREENROOM_SECRET=%s\nGREENROOM_KEYSET='%s'\n", s.Secret, s.Keyset)
	})
}
