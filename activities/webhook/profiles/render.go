package profiles

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"greenroom/activities/webhook"
)

// dataOf returns the message's data, {} if it is empty. It refuses data that is not one JSON value.
func dataOf(m webhook.Message) (json.RawMessage, error) {
	if len(m.Data) == 0 {
		return json.RawMessage(`{}`), nil
	}
	if !json.Valid(m.Data) {
		return nil, fmt.Errorf("%w (event %s)", webhook.ErrInvalidData, m.EventID)
	}
	return m.Data, nil
}

// newBody returns an empty buffer for data in an envelope; 256 bytes are enough for the envelope's names and ids.
func newBody(data []byte) []byte { return make([]byte, 0, 256+len(data)) }

// encode returns v as JSON with <, > and & unescaped.
func encode(v any) (json.RawMessage, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// appendString appends s as a JSON string. Names and ids need no escaping and skip the encoder.
func appendString(b []byte, s string) []byte {
	if plain(s) {
		b = append(b, '"')
		b = append(b, s...)
		return append(b, '"')
	}
	quoted, _ := encode(s) // a string always encodes; invalid UTF-8 becomes U+FFFD
	return append(b, quoted...)
}

func plain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c >= 0x7f || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

// appendTime appends t in the format of most contracts: ISO 8601 in UTC with exactly three decimals and "Z".
func appendTime(b []byte, t time.Time) []byte {
	return t.UTC().AppendFormat(b, `"`+milliseconds+`"`)
}

const milliseconds = "2006-01-02T15:04:05.000Z"

// stamp is a time in a body, in the format of [appendTime]. The zero time is null.
type stamp time.Time

// MarshalJSON implements json.Marshaler.
func (s stamp) MarshalJSON() ([]byte, error) {
	if time.Time(s).IsZero() {
		return []byte("null"), nil
	}
	return appendTime(nil, time.Time(s)), nil
}

func stampOf(t *time.Time) stamp {
	if t == nil {
		return stamp{}
	}
	return stamp(*t)
}

// hexHMAC returns the hex HMAC-SHA256 of the concatenated parts.
func hexHMAC(key []byte, parts ...[]byte) string {
	mac := hmac.New(sha256.New, key)
	for _, p := range parts {
		_, _ = mac.Write(p) // hash.Hash.Write never returns an error
	}
	return hex.EncodeToString(mac.Sum(nil))
}
