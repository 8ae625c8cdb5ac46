// Package token makes the tokens in the links that Greenroom hands out: call-backs of outside services, invitations of
// candidates. A token is a keyed hash of what it is for, so it is checked without being stored, and nobody can make one for
// another purpose or another row.
package token

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"

	"github.com/google/uuid"
)

// Callback is the purpose of the tokens that outside services show on their call-backs; the id is the call attempt's or the
// interview's.
const Callback = "callback"

// Invite is the purpose of the tokens in the links with which candidates open ONLINE interviews; the id is the interview's.
const Invite = "invite"

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
