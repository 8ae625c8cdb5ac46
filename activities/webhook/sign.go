package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strconv"
	"time"
)

// Names of the headers that every profile sends, in the form in which net/http keeps them. On the wire they are the
// webhook-id, webhook-timestamp and webhook-signature of the Standard Webhooks specification; header names ignore case.
const (
	HeaderID        = "Webhook-Id"
	HeaderTimestamp = "Webhook-Timestamp"
	HeaderSignature = "Webhook-Signature"
)

// signStandard sets the three Standard Webhooks headers. The time is that of the attempt, so a verifier's tolerance
// (five minutes in the reference libraries) works on late retries; the id is the delivery's and never changes.
func signStandard(h http.Header, id string, s Secrets, body []byte, at time.Time) {
	ts := strconv.FormatInt(at.Unix(), 10)
	h[HeaderID] = []string{id}
	h[HeaderTimestamp] = []string{ts}
	if len(s) > 0 {
		h[HeaderSignature] = []string{signatures(id, ts, s, body)}
	}
}

// signatures is the value of webhook-signature: one "v1,<base64>" for each secret, separated by spaces.
func signatures(id, ts string, s Secrets, body []byte) string {
	prefix := make([]byte, 0, len(id)+len(ts)+2)
	prefix = append(append(append(append(prefix, id...), '.'), ts...), '.')
	var sum [sha256.Size]byte
	out := make([]byte, 0, len(s)*(len("v1, ")+base64.StdEncoding.EncodedLen(sha256.Size)))
	for i, key := range s {
		if i > 0 {
			out = append(out, ' ')
		}
		out = append(out, "v1,"...)
		out = base64.StdEncoding.AppendEncode(out, hmacSHA256(sum[:0], key, prefix, body))
	}
	return string(out)
}

// hmacSHA256 appends the HMAC of the parts, taken as one text, to dst.
func hmacSHA256(dst, key []byte, parts ...[]byte) []byte {
	mac := hmac.New(sha256.New, key)
	for _, p := range parts {
		_, _ = mac.Write(p) // a hash never fails to take bytes
	}
	return mac.Sum(dst)
}
