package webhook

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
)

// secretBytes is the length of a signing secret; the Standard Webhooks specification asks for 24–64.
const secretBytes = 32

// Secrets are the active signing secrets of one webhook as raw bytes, the current one first. During a rotation several
// are active, and each signs, so that the receiver may switch at any time.
type Secrets [][]byte

// GenerateSecret returns 32 random bytes.
func GenerateSecret() []byte {
	b := make([]byte, secretBytes)
	_, _ = rand.Read(b) // crypto/rand.Read never fails: it ends the program instead
	return b
}

// SecretHex returns the secret as lower-case hex: 64 characters for a generated one.
func SecretHex(b []byte) string { return hex.EncodeToString(b) }

// SecretWhsec returns the secret in the form that the Standard Webhooks libraries take: whsec_ and standard base64.
func SecretWhsec(b []byte) string { return "whsec_" + base64.StdEncoding.EncodeToString(b) }
