package admin

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"strings"

	"greenroom/db/seal"
)

// Secrets are generated once for an installation and must be kept: without them API keys cannot be verified and signing
// secrets cannot be decrypted.
type Secrets struct {
	Secret string `json:"secret"`
	Keyset string `json:"keyset"`
}

// NewSecrets generates secrets for a new installation.
func NewSecrets() (Secrets, error) {
	key := make([]byte, 32) // the strength of HMAC-SHA-256, which uses it
	_, _ = rand.Read(key)   // crypto/rand.Read never returns an error
	keyset, err := seal.NewKeyset()
	return Secrets{Secret: hex.EncodeToString(key), Keyset: strings.TrimSpace(keyset)}, err
}

// Secrets prints them as an environment file that shells and Docker Compose can read.
func (p Printer) Secrets(s Secrets) error {
	return p.Value(s, func(out io.Writer) {
		fmt.Fprintf(out, "GREENROOM_SECRET=%s\nGREENROOM_KEYSET='%s'\n", s.Secret, s.Keyset)
	})
}
