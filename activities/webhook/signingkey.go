package webhook

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"errors"
)

// SigningKeys are the active Ed25519 keys of one webhook, the current one first. Each adds a v1a signature of Standard
// Webhooks. A receiver needs the public keys only, so what it knows cannot forge a delivery; the secrets of v1 can.
type SigningKeys []ed25519.PrivateKey

// GenerateSigningKey returns a new private key.
func GenerateSigningKey() ed25519.PrivateKey {
	// crypto/rand.Read never fails, so GenerateKey does not either.
	_, key, _ := ed25519.GenerateKey(nil)
	return key
}

// ErrSigningKeyForm means that bytes are not a private key as GenerateSigningKey returns it.
var ErrSigningKeyForm = errors.New("a signing key is a private Ed25519 key of 64 bytes")

// ParseSigningKey returns the private key that raw bytes are.
func ParseSigningKey(raw []byte) (ed25519.PrivateKey, error) {
	if len(raw) != ed25519.PrivateKeySize {
		return nil, ErrSigningKeyForm
	}
	return ed25519.PrivateKey(raw), nil
}

// PublicKey returns the public key of a signing key.
func PublicKey(key ed25519.PrivateKey) ed25519.PublicKey {
	return ed25519.PublicKey(key[ed25519.PrivateKeySize-ed25519.PublicKeySize:])
}

// PublicKeyWhpk returns a public key in the form of Standard Webhooks: whpk_ and standard Base64.
func PublicKeyWhpk(key ed25519.PublicKey) string {
	return "whpk_" + base64.StdEncoding.EncodeToString(key)
}

// JWK is a public Ed25519 key as a JSON Web Key (RFC 8037).
type JWK struct {
	KeyType   string `json:"kty"`
	Curve     string `json:"crv"`
	X         string `json:"x"` // the key in unpadded base64url
	KeyID     string `json:"kid"`
	Use       string `json:"use"`
	Algorithm string `json:"alg"`
}

// JWKOf returns a public key as a JWK. Its id is its thumbprint (RFC 7638).
func JWKOf(key ed25519.PublicKey) JWK {
	x := base64.RawURLEncoding.EncodeToString(key)
	sum := sha256.Sum256([]byte(`{"crv":"Ed25519","kty":"OKP","x":"` + x + `"}`))
	return JWK{
		KeyType: "OKP", Curve: "Ed25519", X: x, KeyID: base64.RawURLEncoding.EncodeToString(sum[:]), Use: "sig",
		Algorithm: "EdDSA",
	}
}
