package webhook

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strings"
)

// ErrInvalidSecret is returned by [ParseSecret] for a text that is no signing secret. It never repeats the text.
var ErrInvalidSecret = errors.New("signing secret must be 64 hex characters or whsec_ followed by base64")

const (
	// secretBytes is the length of a signing secret; the Standard Webhooks specification asks for 24–64.
	secretBytes    = 32
	minSecretBytes = 24
	maxSecretBytes = 64

	whsecPrefix = "whsec_"
)

// Secrets are the active signing secrets of one webhook as raw bytes, the current one first. Several are active while a
// secret is being rotated: every one of them signs, so that the receiver may switch at any time.
type Secrets [][]byte

// GenerateSecret returns 32 random bytes.
func GenerateSecret() []byte {
	b := make([]byte, secretBytes)
	_, _ = rand.Read(b) // crypto/rand.Read never fails: it ends the program instead
	return b
}

// SecretHex is the secret as an instaview receiver sees it: 64 lower-case hex characters.
func SecretHex(b []byte) string { return hex.EncodeToString(b) }

// SecretWhsec is the secret as the Standard Webhooks libraries take it: whsec_ and standard base64.
func SecretWhsec(b []byte) string { return whsecPrefix + base64.StdEncoding.EncodeToString(b) }

// ParseSecret reads either text form back into raw bytes. It refuses what is shorter than 24 or longer than 64 bytes
// with ErrInvalidSecret.
func ParseSecret(text string) ([]byte, error) {
	b, err := decodeSecret(text)
	if err != nil || len(b) < minSecretBytes || len(b) > maxSecretBytes {
		return nil, ErrInvalidSecret
	}
	return b, nil
}

func decodeSecret(text string) ([]byte, error) {
	if rest, ok := strings.CutPrefix(text, whsecPrefix); ok {
		return base64.StdEncoding.DecodeString(rest)
	}
	return hex.DecodeString(text)
}
