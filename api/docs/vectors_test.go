package docs_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"flag"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"

	"greenroom/activities/webhook"
	"greenroom/activities/webhook/profiles"
)

var update = flag.Bool("update", false, "rewrite signature-vectors.json")

const vectorsFile = "signature-vectors.json"

// vectors is the published file.
type vectors struct {
	Description string   `json:"description"`
	Vectors     []vector `json:"vectors"`
}

// vector is one delivery, what its receiver knows, and whether each signature is genuine at the time Now.
type vector struct {
	Name        string            `json:"name"`
	Profile     string            `json:"profile"`
	Secret      string            `json:"secret"`
	SecretHex   string            `json:"secretHex"`
	PublicKey   string            `json:"publicKey,omitempty"`
	Headers     map[string]string `json:"headers"`
	Body        string            `json:"body"`
	Now         int64             `json:"now"`
	Valid       bool              `json:"valid"`
	ValidV1a    *bool             `json:"validV1a,omitempty"`
	Description string            `json:"description"`
}

const vectorsText = "Deliveries to test a verifier of Standard Webhooks with. `secret` (whsec_ and Base64) and `secretHex` are the same " +
	"bytes. `valid` says whether `webhook-signature` has a genuine v1 signature and the timestamp is within 300 seconds of `now`; " +
	"`validV1a` the same for the v1a signature and `publicKey`. The other headers are those of the profile."

func secretOf(first byte) []byte {
	secret := make([]byte, 32)
	for i := range secret {
		secret[i] = first + byte(i)
	}
	return secret
}

// sent is a delivery as this server signs it.
func sent(
	t *testing.T,
	profile, name, description, body string,
	secrets webhook.Secrets,
	keys webhook.SigningKeys,
) vector {
	t.Helper()
	p, err := profiles.ByName(profile)
	require.NoError(t, err)
	at := time.Unix(1795939200, 0)
	r := webhook.Request{
		Profile: p, Body: []byte(body), Secrets: secrets, SigningKeys: keys, Key: webhook.KeyOf(secrets[0], true),
		Message: webhook.Message{DeliveryID: "0198c2a4-5b1e-7c3a-9d4f-6e2b8a1c0d11", EventName: "interview.started"},
	}
	h, err := r.Header(at)
	require.NoError(t, err)
	v := vector{
		Name: name, Profile: profile, Description: description, Secret: webhook.SecretWhsec(secrets[0]),
		SecretHex: webhook.SecretHex(secrets[0]), Headers: map[string]string{}, Body: body, Now: at.Unix() + 2, Valid: true,
	}
	for name := range h {
		if lower := strings.ToLower(name); lower != "content-type" && lower != "user-agent" {
			v.Headers[lower] = h.Get(name)
		}
	}
	if len(keys) > 0 {
		v.PublicKey, v.ValidV1a = webhook.PublicKeyWhpk(webhook.PublicKey(keys[0])), new(true)
	}
	return v
}

// forged is a delivery with a change that a verifier must notice.
func forged(v vector, name, description string, change func(*vector)) vector {
	headers := map[string]string{}
	for name, value := range v.Headers {
		headers[name] = value
	}
	v.Name, v.Description, v.Headers, v.Valid = name, description, headers, false
	change(&v)
	return v
}

func made(t *testing.T) vectors {
	t.Helper()
	const body = `{"type":"interview.started","timestamp":"2026-11-29T08:00:00.000Z","data":{"interviewId":"42"}}`
	one, two := secretOf(1), secretOf(101)
	key := ed25519.NewKeyFromSeed(secretOf(201))
	plain := sent(t, "standard", "genuine", "one signature", body, webhook.Secrets{one}, nil)
	rotating := sent(t, "standard", "old secret while rotating", "the second signature is that of the old secret", body,
		webhook.Secrets{two, one}, nil)
	rotating.Secret, rotating.SecretHex = plain.Secret, plain.SecretHex
	asymmetric := sent(t, "standard", "v1 and v1a", "an Ed25519 signature beside the HMAC", body, webhook.Secrets{one},
		webhook.SigningKeys{key})
	all := []vector{
		plain,
		rotating,
		asymmetric,
		sent(t, "standard", "UTF-8", "characters outside ASCII, and escapes, are signed as the bytes that are sent",
			`{"type":"candidate.created","data":{"name":"Zoë \u003cO'Neil\u003e 🎤"}}`, webhook.Secrets{one}, nil),
		sent(t, "instaview", "instaview", "x-webhook-signature: HMAC of the body, keyed with the hex digits as text", body,
			webhook.Secrets{one}, nil),
		sent(
			t,
			"wiseway",
			"wiseway",
			"x-wiseway-signature: HMAC of time, dot and body, keyed with the hex digits as text",
			body,
			webhook.Secrets{one},
			nil,
		),
		sent(t, "wise", "wise", "authorization: the key that is derived from the secret", body, webhook.Secrets{one}, nil),
		forged(
			plain,
			"body changed",
			"one digit differs",
			func(v *vector) { v.Body = strings.Replace(v.Body, "42", "43", 1) },
		),
		forged(plain, "space added", "JSON that means the same is not the same", func(v *vector) { v.Body += " " }),
		forged(plain, "id changed", "the id is signed", func(v *vector) {
			v.Headers["webhook-id"] = "0198c2a4-5b1e-7c3a-9d4f-6e2b8a1c0d12"
		}),
		forged(plain, "time changed", "the timestamp is signed", func(v *vector) {
			v.Headers["webhook-timestamp"] = strconv.FormatInt(v.Now, 10)
		}),
		forged(plain, "old", "a recorded delivery, sent again ten minutes later", func(v *vector) { v.Now += 600 }),
		forged(plain, "from the future", "a timestamp ten minutes ahead", func(v *vector) { v.Now -= 600 }),
		forged(plain, "another secret", "signed with a secret that the receiver does not know", func(v *vector) {
			v.Secret, v.SecretHex = webhook.SecretWhsec(two), webhook.SecretHex(two)
		}),
		forged(plain, "no version", "the signature without its v1", func(v *vector) {
			v.Headers["webhook-signature"] = strings.TrimPrefix(v.Headers["webhook-signature"], "v1,")
		}),
		forged(plain, "hex", "the right HMAC in hex", func(v *vector) {
			raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(v.Headers["webhook-signature"], "v1,"))
			require.NoError(t, err)
			v.Headers["webhook-signature"] = "v1," + webhook.SecretHex(raw)
		}),
		forged(plain, "no signature", "the header is missing", func(v *vector) { delete(v.Headers, "webhook-signature") }),
		forged(asymmetric, "v1a of another key", "the v1a signature is not that of the public key", func(v *vector) {
			other := ed25519.NewKeyFromSeed(secretOf(150))
			v.Valid, v.ValidV1a = true, new(false)
			v.PublicKey = webhook.PublicKeyWhpk(webhook.PublicKey(other))
		}),
	}
	return vectors{vectorsText, all}
}

// TestVectorsAreOurs compares the published file with what this server signs. -update writes it.
func TestVectorsAreOurs(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	require.NoError(t, e.Encode(made(t)))
	if *update {
		require.NoError(t, os.WriteFile(vectorsFile, out.Bytes(), 0o600))
	}
	raw, err := os.ReadFile(vectorsFile)
	require.NoError(t, err)
	require.Equal(t, out.String(), string(raw))
}

func published(t *testing.T) []vector {
	t.Helper()
	raw, err := os.ReadFile(vectorsFile)
	require.NoError(t, err)
	var v vectors
	require.NoError(t, json.Unmarshal(raw, &v))
	require.NotEmpty(t, v.Vectors)
	return v.Vectors
}

// TestVectorsByTheReferenceLibrary verifies each vector with the library of Standard Webhooks, and v1a by crypto/ed25519.
func TestVectorsByTheReferenceLibrary(t *testing.T) {
	t.Parallel()
	for _, v := range published(t) {
		t.Run(v.Name, func(t *testing.T) {
			t.Parallel()
			h := http.Header{}
			for name, value := range v.Headers {
				h.Set(name, value)
			}
			library, err := standardwebhooks.NewWebhook(v.Secret)
			require.NoError(t, err)
			at, err := strconv.ParseInt(h.Get("webhook-timestamp"), 10, 64)
			require.NoError(t, err)
			recent := at-v.Now <= 300 && v.Now-at <= 300 // the library has no clock to set
			require.Equal(t, v.Valid, recent && library.VerifyIgnoringTimestamp([]byte(v.Body), h) == nil)
			if v.ValidV1a != nil {
				require.Equal(t, *v.ValidV1a, verifiesV1a(t, v))
			}
		})
	}
}

func verifiesV1a(t *testing.T, v vector) bool {
	t.Helper()
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(v.PublicKey, "whpk_"))
	require.NoError(t, err)
	for _, one := range strings.Fields(v.Headers["webhook-signature"]) {
		if encoded, found := strings.CutPrefix(one, "v1a,"); found {
			signature, err := base64.StdEncoding.DecodeString(encoded)
			require.NoError(t, err)
			return ed25519.Verify(key, []byte(v.Headers["webhook-id"]+"."+v.Headers["webhook-timestamp"]+"."+v.Body), signature)
		}
	}
	return false
}
