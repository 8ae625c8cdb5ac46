package pg

import (
	"strings"
	"unicode/utf8"
)

// Text is what a text column can hold of bytes from outside: invalid UTF-8 and NUL are replaced. It is nil for none.
func Text(b []byte) *string {
	if len(b) == 0 {
		return nil
	}
	s := string(b)
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\uFFFD")
	}
	s = strings.ReplaceAll(s, "\x00", "\uFFFD")
	return &s
}
