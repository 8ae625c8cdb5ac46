package webhook_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"greenroom/activities/webhook"
	"greenroom/activities/webhook/profiles"
)

// verifies reports whether a v1a signature of the headers fits a public key in the form of whpk_, by the text of the
// Standard Webhooks specification.
func verifies(t *testing.T, whpk string, h http.Header, body string) bool {
	t.Helper()
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(whpk, "whpk_"))
	require.NoError(t, err)
	signed := strings.Join([]string{h.Get("webhook-id"), h.Get("webhook-timestamp"), body}, ".")
	for signature := range strings.SplitSeq(h.Get("webhook-signature"), " ") {
		if text, found := strings.CutPrefix(signature, "v1a,"); found {
			sum, err := base64.StdEncoding.DecodeString(text)
			require.NoError(t, err)
			if ed25519.Verify(key, []byte(signed), sum) {
				return true
			}
		}
	}
	return false
}

// TestAsymmetricSignature signs what the reference library's Go test signs, and expects its signature
// (standard-webhooks/standard-webhooks, libraries/go/webhook_asymmetric_test.go).
func TestAsymmetricSignature(t *testing.T) {
	t.Parallel()
	seed, err := base64.StdEncoding.DecodeString("VEVTVFNJR05JTkdLRVlET05PVFVTRVRISVNGT1JBTlk=")
	require.NoError(t, err)
	r := webhook.Request{
		Profile: profile(t, "standard"), Message: webhook.Message{DeliveryID: "msg_p5jXN8AQM9LWM0D4loKWxJek"},
		Body: []byte(`{"test": 2432232314}`), Secrets: webhook.Secrets{testSecret(1)},
		SigningKeys: webhook.SigningKeys{ed25519.NewKeyFromSeed(seed)},
	}
	h, err := r.Header(time.Unix(1614265330, 0))
	require.NoError(t, err)
	symmetric, asymmetric, _ := strings.Cut(h.Get("webhook-signature"), " ")
	require.True(t, strings.HasPrefix(symmetric, "v1,"))
	require.Equal(t,
		"v1a,tQ9V2XOqn7jL/DQenEFpqIugdBVtiMmER5mhSkXBNwM0mkATuDe6KYYUuxqtaiHeYGb7KaaBRdM5WqyeFiL8Ag==", asymmetric)

	r.SigningKeys = nil
	without, err := r.Header(time.Unix(1614265330, 0))
	require.NoError(t, err)
	require.Equal(t, symmetric, without.Get("webhook-signature"), "v1 is the same beside v1a")
}

// TestBothSignaturesVerify: in every profile each secret and each key verifies, and no other.
func TestBothSignaturesVerify(t *testing.T) {
	t.Parallel()
	body := `{"type":"ping"}`
	current, earlier, other := webhook.GenerateSigningKey(), webhook.GenerateSigningKey(), webhook.GenerateSigningKey()
	for _, name := range profiles.Names() {
		r := webhook.Request{
			Profile: profile(t, name), Message: message("ping", "ping", nil), Body: []byte(body),
			Secrets:     webhook.Secrets{testSecret(1), testSecret(2)},
			SigningKeys: webhook.SigningKeys{current, earlier},
		}
		h, err := r.Header(time.Now())
		require.NoError(t, err)
		require.NoError(t, verify(t, testSecret(1), []byte(body), h), "the reference library skips v1a")
		require.NoError(t, verify(t, testSecret(2), []byte(body), h))
		require.True(t, verifies(t, webhook.PublicKeyWhpk(webhook.PublicKey(current)), h, body))
		require.True(t, verifies(t, webhook.PublicKeyWhpk(webhook.PublicKey(earlier)), h, body))
		require.False(t, verifies(t, webhook.PublicKeyWhpk(webhook.PublicKey(other)), h, body))
		require.False(t, verifies(t, webhook.PublicKeyWhpk(webhook.PublicKey(current)), h, `{"type":"pong"}`))
		h.Set("webhook-id", "another")
		require.False(t, verifies(t, webhook.PublicKeyWhpk(webhook.PublicKey(current)), h, body), "the id is signed")
	}
}

// TestJWK uses the key of RFC 8037, appendix A.2, and its thumbprint, appendix A.3.
func TestJWK(t *testing.T) {
	t.Parallel()
	key, err := base64.RawURLEncoding.DecodeString("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo")
	require.NoError(t, err)
	got, err := json.Marshal(webhook.JWKOf(key))
	require.NoError(t, err)
	require.JSONEq(t, `{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
		"kid":"kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k","use":"sig","alg":"EdDSA"}`, string(got))
}

func TestSigningKeyForm(t *testing.T) {
	t.Parallel()
	key := webhook.GenerateSigningKey()
	require.NotEqual(t, key, webhook.GenerateSigningKey())
	parsed, err := webhook.ParseSigningKey(key)
	require.NoError(t, err)
	require.Equal(t, key.Public(), webhook.PublicKey(parsed))
	for _, raw := range [][]byte{nil, {}, key.Seed(), append(key, 0)} {
		_, err := webhook.ParseSigningKey(raw)
		require.ErrorIs(t, err, webhook.ErrSigningKeyForm)
	}
}

// TestKeyOf expects what `openssl kdf -keylen 32 -kdfopt digest:SHA2-256 -kdfopt hexkey:… -kdfopt info:… HKDF` prints.
func TestKeyOf(t *testing.T) {
	t.Parallel()
	require.Equal(t, "0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20", webhook.SecretHex(testSecret(1)))
	require.Equal(t, "3bb2509cc039490d19ce9ab67b0059c849aa6886b24039d5f6eab3db216b0d89",
		webhook.KeyOf(testSecret(1), true))
	require.Equal(t, webhook.SecretHex(testSecret(1)), webhook.KeyOf(testSecret(1), false))
	for _, name := range profiles.Names() {
		r := webhook.Request{
			Profile: profile(t, name), Message: message("ping", "ping", nil), Body: []byte(`{}`),
			Secrets: webhook.Secrets{testSecret(1)}, Key: "key",
		}
		h, err := r.Header(time.Now())
		require.NoError(t, err)
		want := ""
		if name == "wise" {
			want = "key"
		}
		require.Equal(t, want, h.Get("Authorization"), name)
	}
}
