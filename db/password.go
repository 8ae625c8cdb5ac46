package db

import (
	"errors"
	"fmt"
	"unicode/utf8"

	"golang.org/x/crypto/bcrypt"
)

// Bounds of a password, in bytes. bcrypt ignores everything after 72 bytes, so longer passwords are refused.
const (
	MinPassword = 8
	MaxPassword = 72
)

// ErrPassword says that the password is too short, too long or not valid UTF-8.
var ErrPassword = errors.New("must be 8 to 72 bytes of text")

// HashPassword returns the bcrypt hash at the default cost, about 50 ms of CPU time. It refuses with ErrPassword.
func HashPassword(plain string) (string, error) {
	if len(plain) < MinPassword || len(plain) > MaxPassword || !utf8.ValidString(plain) {
		return "", ErrPassword
	}
	hash, err := bcrypt.GenerateFromPassword([]byte(plain), bcrypt.DefaultCost)
	if err != nil {
		return "", fmt.Errorf("hash password: %w", err)
	}
	return string(hash), nil
}

// dummyHash is compared when the user does not exist or has no password, so that the response time does not reveal
// which users exist. It is the hash of a random text that was not kept.
const dummyHash = "$2a$10$QHxdJOOvkY0sdl5ArE6.IOJkWaViKdxqqq2YHQObhoBWhX4.U7MmW"

// PasswordIs reports whether plain is the user's password. m may be nil.
func (m *Staff) PasswordIs(plain string) bool {
	hash, can := dummyHash, m != nil && m.PasswordHash != nil && len(plain) <= MaxPassword
	if can {
		hash = *m.PasswordHash
	}
	same := bcrypt.CompareHashAndPassword([]byte(hash), []byte(plain[:min(len(plain), MaxPassword)])) == nil
	return same && can
}
