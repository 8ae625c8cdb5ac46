// Package token makes the tokens in the links that Greenroom hands out: call-backs of outside services, invitations
// of candidates. A token is a keyed hash of what it is for, so it is checked without being stored, and nobody can
// make one for another purpose or another row.
package token

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Callback is the purpose of the tokens that outside services show on their call-backs; the id is the call attempt's
// or the interview's.
const Callback = "callback"

// Invite is the purpose of the tokens in the links with which candidates open ONLINE interviews; the id is the
// interview's.
const Invite = "invite"

// Report is the purpose of the tokens in links that show one report until they expire; the id is the interview's.
const Report = "report"

// Recording is the purpose of the tokens in links that stream one recording until they expire; the id is the answer
// video's.
const Recording = "recording"

// Until returns a token that says itself until when it is good, to the second: <seconds since 1970>.<hash>.
func Until(secret []byte, purpose string, id uuid.UUID, end time.Time) string {
	seconds := strconv.FormatInt(end.Unix(), 10)
	return seconds + "." + For(secret, purpose+"@"+seconds, id)
}

// End reports, in constant time, whether token is one that Until made for this purpose and row, and until when it is
// good; that may have passed.
func End(secret []byte, purpose string, id uuid.UUID, token string) (end time.Time, valid bool) {
	text, hash, _ := strings.Cut(token, ".")
	seconds, err := strconv.ParseInt(text, 10, 64)
	return time.Unix(seconds, 0), err == nil && Valid(secret, purpose+"@"+text, id, hash)
}

// InviteURL is the link by which a candidate opens an ONLINE interview, the same each time; base is the API's public
// address, without a slash at the end.
func InviteURL(base string, secret []byte, interview uuid.UUID) string {
	return base + "/i/" + interview.String() + "." + For(secret, Invite, interview)
}

// For returns the token of one purpose and one row: HMAC-SHA256 over the purpose, a zero byte and the id, in unpadded
// base64url (43 characters). It does not expire: the row's state decides what it is still good for.
func For(secret []byte, purpose string, id uuid.UUID) string {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(purpose))
	mac.Write([]byte{0}) // no purpose is the beginning of another one with an id
	mac.Write(id[:])
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// Valid reports, in constant time, whether token is the one of this purpose and row.
func Valid(secret []byte, purpose string, id uuid.UUID, token string) bool {
	return hmac.Equal([]byte(For(secret, purpose, id)), []byte(token))
}
