// Package token signs the links that Greenroom hands out, such as callbacks of external services and candidates'
// invitations. A token is a keyed hash of its purpose and its row, so it is verified without being stored and cannot be
// used for another purpose or row.
package token

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Callback is the purpose of the tokens in the callback URLs of external services; the id is the call attempt's or the
// interview's.
const Callback = "callback"

// Invite is the purpose of the tokens in the links that open an ONLINE interview; the id is the interview's.
const Invite = "invite"

// Report is the purpose of the tokens in expiring links to one report; the id is the interview's.
const Report = "report"

// Recording is the purpose of the tokens in expiring links that stream one recording; the id is the answer video's.
const Recording = "recording"

// Until returns a token that expires at end, in whole seconds. Its form is <Unix time>.<hash>.
func Until(secret []byte, purpose string, id uuid.UUID, end time.Time) string {
	seconds := strconv.FormatInt(end.Unix(), 10)
	return seconds + "." + For(secret, purpose+"@"+seconds, id)
}

// End verifies, in constant time, a token that Until returned for this purpose and row with one of the secrets, and
// returns its expiry. The caller must compare the expiry with the clock.
func End(secrets [][]byte, purpose string, id uuid.UUID, token string) (end time.Time, valid bool) {
	text, hash, _ := strings.Cut(token, ".")
	seconds, err := strconv.ParseInt(text, 10, 64)
	return time.Unix(seconds, 0), err == nil && Valid(secrets, purpose+"@"+text, id, hash)
}

// InviteURL returns the link that opens an ONLINE interview; it is always the same for an interview. base is the API's
// public address without a trailing slash.
func InviteURL(base string, secret []byte, interview uuid.UUID) string {
	return base + "/i/" + interview.String() + "." + For(secret, Invite, interview)
}

// For returns the token of one purpose and one row: HMAC-SHA256 over the purpose, a zero byte and the id, in unpadded
// base64url (43 characters). It does not expire; the row's state decides whether it is accepted.
func For(secret []byte, purpose string, id uuid.UUID) string {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(purpose))
	mac.Write([]byte{0}) // separates the purpose from the id
	mac.Write(id[:])
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// Valid verifies, in constant time, a token that For returned for this purpose and row with one of the secrets.
func Valid(secrets [][]byte, purpose string, id uuid.UUID, token string) bool {
	return slices.ContainsFunc(secrets, func(secret []byte) bool {
		return hmac.Equal([]byte(For(secret, purpose, id)), []byte(token))
	})
}
