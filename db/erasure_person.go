package db

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/google/uuid"

	"greenroom/db/delivery"
)

// person returns what the erasure finds the person by. A needle too short to name one person is not used.
func (e *Erasure) person() delivery.Person {
	patterns := []string{"%" + likeEscaper.Replace(`\u00`) + "%"} // JSON may write any letter as an escape
	var needles []needle
	for _, text := range e.Needles {
		n, usable := needleOf(text)
		if !usable {
			continue
		}
		needles, patterns = append(needles, n), append(patterns, n.pattern())
	}
	return delivery.Person{Patterns: patterns, In: func(text string) bool {
		for range plainReads {
			lower := strings.ToLower(text)
			if slices.ContainsFunc(needles, func(n needle) bool { return n.in(lower) }) {
				return true
			}
			plain := escapes.ReplaceAllStringFunc(text, unescape)
			if plain == text {
				break
			}
			text = plain
		}
		return false
	}}
}

// needle is a lower-case text that names a person: an id, an e-mail address or a telephone number.
type needle struct {
	text string
	// part reports whether a text with that end and that beginning around it is another one, as "joann@x.example" is not
	// "ann@x.example".
	part func(before, after string) bool
}

// fewestDigits is the length of the shortest telephone numbers with a country code.
const fewestDigits = 7

// needleOf is false for a text that could be in the events of anybody.
func needleOf(text string) (n needle, usable bool) {
	text = strings.ToLower(strings.TrimSpace(text))
	if _, err := uuid.Parse(text); err == nil {
		return needle{text, func(string, string) bool { return false }}, true
	}
	if strings.Contains(strings.Trim(text, "@"), "@") {
		return needle{text, partOfAddress}, true
	}
	digits := 0
	for _, r := range text {
		if r >= '0' && r <= '9' {
			digits++
		}
	}
	return needle{strings.TrimPrefix(text, "+"), partOfNumber}, digits >= fewestDigits
}

// in looks for the needle in lower-case text.
func (n needle) in(text string) bool {
	for at := 0; ; at++ {
		i := strings.Index(text[at:], n.text)
		if i < 0 {
			return false
		}
		if at += i; !n.part(text[:at], text[at+len(n.text):]) {
			return true
		}
	}
}

// pattern is a LIKE pattern for lower-case text with the needle, unless a letter or a digit of it is escaped.
func (n needle) pattern() string {
	var out strings.Builder
	wild := false
	out.WriteByte('%')
	for _, r := range n.text {
		if r < 'a' || r > 'z' { // any other sign may be escaped
			if r < '0' || r > '9' {
				wild = true
				continue
			}
		}
		if wild {
			out.WriteByte('%')
			wild = false
		}
		out.WriteRune(r)
	}
	return out.String() + "%"
}

func partOfAddress(before, after string) bool {
	last, _ := utf8.DecodeLastRuneInString(before)
	if before != "" && (isWord(last) || strings.ContainsRune("._%+-", last)) {
		return true
	}
	next, size := utf8.DecodeRuneInString(after)
	if next == '.' || next == '-' { // a full stop, or a longer domain
		next, _ = utf8.DecodeRuneInString(after[size:])
	}
	return after != "" && isWord(next)
}

func partOfNumber(before, after string) bool {
	last, _ := utf8.DecodeLastRuneInString(before)
	next, _ := utf8.DecodeRuneInString(after)
	return last >= '0' && last <= '9' && !strings.HasSuffix(before, "00") || next >= '0' && next <= '9'
}

func isWord(r rune) bool {
	return r != utf8.RuneError && (r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r))
}

// plainReads bounds how often a text is read, each time with fewer escapes: JSON may be within JSON, and a URL within
// it.
const plainReads = 4

// escapes are those of JSON and of URLs.
var escapes = regexp.MustCompile(`(?s)(?:\\u[0-9a-fA-F]{4})+|\\.|(?:%[0-9a-fA-F]{2})+`)

// unescape returns what an escape stands for.
func unescape(escape string) string {
	switch {
	case escape[0] == '%':
		out := make([]byte, 0, len(escape)/3)
		for i := 0; i < len(escape); i += 3 {
			b, _ := strconv.ParseUint(escape[i+1:i+3], 16, 8) // two hexadecimal digits
			out = append(out, byte(b))
		}
		return string(out)
	case len(escape) > 2 && escape[1] == 'u':
		units := make([]uint16, 0, len(escape)/6)
		for i := 0; i < len(escape); i += 6 {
			u, _ := strconv.ParseUint(escape[i+2:i+6], 16, 16) // four hexadecimal digits
			units = append(units, uint16(u))
		}
		return string(utf16.Decode(units))
	case strings.ContainsAny(escape[1:], "bfnrt"):
		return " "
	}
	return escape[1:]
}
