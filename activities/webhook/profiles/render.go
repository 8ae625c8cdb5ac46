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

// dataOf returns the message's data after checking that the envelope around it will be valid JSON.
func dataOf(m webhook.Message) (json.RawMessage, error) {
	if len(m.Data) == 0 {
		return json.RawMessage(`{}`), nil
	}
	if !json.Valid(m.Data) {
		return nil, fmt.Errorf("%w (event %s)", webhook.ErrInvalidData, m.EventID)
	}
	return m.Data, nil
}

// encode is JSON as people write it: <, > and & as they are.
func encode(v any) (json.RawMessage, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// appendString appends s as a JSON string. Names and ids need no escape, so they skip the encoder.
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

// appendTime appends t as most contracts want it: ISO 8601, UTC, exactly three digits of fraction, "Z".
func appendTime(b []byte, t time.Time) []byte {
	return t.UTC().AppendFormat(b, `"`+milliseconds+`"`)
}

const milliseconds = "2006-01-02T15:04:05.000Z"

// stamp is a time in the body of a struct, written as [appendTime] does; nil and zero are null.
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

// hexHMAC is the hex HMAC-SHA256 of the parts, taken as one text.
func hexHMAC(key []byte, parts ...[]byte) string {
	mac := hmac.New(sha256.New, key)
	for _, p := range parts {
		_, _ = mac.Write(p) // a hash never fails to take bytes
	}
	return hex.EncodeToString(mac.Sum(nil))
}
