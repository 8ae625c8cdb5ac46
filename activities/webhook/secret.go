package webhook

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strings"
)

// secretBytes is the length of a generated signing secret. The Standard Webhooks specification asks for 24 to 64.
const (
	secretBytes    = 32
	secretBytesMin = 24
	secretBytesMax = 64
)

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

// ErrSecretForm is the error of ParseSecret.
var ErrSecretForm = errors.New("a signing secret is 24 to 64 bytes: whsec_ and Base64, or hex digits")

// ParseSecret reads a secret in the form of SecretWhsec or SecretHex. The error does not contain it.
func ParseSecret(text string) ([]byte, error) {
	var secret []byte
	var err error
	if encoded, found := strings.CutPrefix(text, "whsec_"); found {
		secret, err = base64.StdEncoding.DecodeString(encoded)
	} else {
		secret, err = hex.DecodeString(text)
	}
	if err != nil || len(secret) < secretBytesMin || len(secret) > secretBytesMax {
		return nil, ErrSecretForm
	}
	return secret, nil
}

// Fingerprint names a secret without revealing it: 16 hex digits of its SHA-256.
func Fingerprint(secret []byte) string {
	sum := sha256.Sum256(secret)
	return hex.EncodeToString(sum[:8])
}

// derivedKeyInfo is the HKDF info of KeyOf. Receivers have the keys, so it must not change.
const derivedKeyInfo = "greenroom webhook authorization key"

// KeyOf returns the key of a secret for profiles with a KeyHeader, in hex: 32 bytes derived with HKDF-SHA256, so that a
// receiver's log that has the key does not reveal the secret, which signs. Not derived, it is the secret, as earlier
// versions sent it.
func KeyOf(secret []byte, derived bool) string {
	if !derived {
		return SecretHex(secret)
	}
	key, err := hkdf.Key(sha256.New, secret, nil, derivedKeyInfo, secretBytes)
	if err != nil { // only for a length that SHA-256 cannot give
		panic(err)
	}
	return hex.EncodeToString(key)
}
