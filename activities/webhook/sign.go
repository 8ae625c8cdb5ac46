package webhook

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strconv"
	"time"
)

// Names of the headers that every profile sends, in net/http's canonical form: webhook-id, webhook-timestamp and
// webhook-signature of the Standard Webhooks specification.
const (
	HeaderID        = "Webhook-Id"
	HeaderTimestamp = "Webhook-Timestamp"
	HeaderSignature = "Webhook-Signature"
)

// HeaderTest is in the deliveries of tests alone, with the value "true": their data is made up. It is not signed.
const HeaderTest = "Webhook-Test"

// HeaderSequence is in the deliveries of events with a subject: a whole number that grows from each event of the
// subject to the next. It is not signed.
const HeaderSequence = "Webhook-Sequence"

// signStandard sets the three Standard Webhooks headers. The time is that of the attempt, so that late retries pass a
// verifier's tolerance (five minutes in the reference libraries). The id is the delivery's and never changes.
func (r *Request) signStandard(h http.Header, at time.Time) {
	id, ts := r.Message.DeliveryID, strconv.FormatInt(at.Unix(), 10)
	h[HeaderID] = []string{id}
	h[HeaderTimestamp] = []string{ts}
	if r.Message.Sequence > 0 {
		h[HeaderSequence] = []string{strconv.FormatInt(r.Message.Sequence, 10)}
	}
	if len(r.Secrets) > 0 {
		h[HeaderSignature] = []string{signatures(id, ts, r.Secrets, r.SigningKeys, r.Body)}
	}
}

// signatures returns the value of webhook-signature, in which spaces separate one "v1,<base64>" for each secret and one
// "v1a,<base64>" for each key.
func signatures(id, ts string, s Secrets, keys SigningKeys, body []byte) string {
	prefix := []byte(id + "." + ts + ".")
	var sum [sha256.Size]byte
	out := make([]byte, 0, 64) // enough for one secret
	for i, key := range s {
		if i > 0 {
			out = append(out, ' ')
		}
		out = append(out, "v1,"...)
		out = base64.StdEncoding.AppendEncode(out, hmacSHA256(sum[:0], key, prefix, body))
	}
	if len(keys) == 0 {
		return string(out)
	}
	signed := append(prefix, body...)
	for _, key := range keys {
		out = append(out, " v1a,"...)
		out = base64.StdEncoding.AppendEncode(out, ed25519.Sign(key, signed))
	}
	return string(out)
}

// hmacSHA256 appends the HMAC of the concatenated parts to dst.
func hmacSHA256(dst, key []byte, parts ...[]byte) []byte {
	mac := hmac.New(sha256.New, key)
	for _, p := range parts {
		_, _ = mac.Write(p) // hash.Hash.Write never returns an error
	}
	return mac.Sum(dst)
}
