package db

import (
	"errors"
	"fmt"
	"unicode/utf8"

	"golang.org/x/crypto/bcrypt"
)

// Bounds of a password, in bytes. bcrypt looks at no more than 72, and what it would not look at is refused.
const (
	MinPassword = 8
	MaxPassword = 72
)

// ErrPassword is for a password that is too short or too long, or not text.
var ErrPassword = errors.New("must be 8 to 72 bytes of text")

// HashPassword makes what is stored of a password: bcrypt at its default cost, some 50 ms of processor. It refuses with
// ErrPassword.
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

// nobody is the hash that a password is compared with when there is no user, or one without a password: the answer
// takes as long as for a user, so that nobody learns from it who is one. It is of a random text that was not kept.
const dummyHash = "$2a$10$QHxdJOOvkY0sdl5ArE6.IOJkWaViKdxqqq2YHQObhoBWhX4.U7MmW"

// PasswordIs reports whether that is the user's password. m may be nil: nobody has a password.
func (m *Staff) PasswordIs(plain string) bool {
	hash, can := dummyHash, m != nil && m.PasswordHash != nil && len(plain) <= MaxPassword
	if can {
		hash = *m.PasswordHash
	}
	same := bcrypt.CompareHashAndPassword([]byte(hash), []byte(plain[:min(len(plain), MaxPassword)])) == nil
	return same && can
}
