package surface

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// maxDepth limits the nesting of a body: far more than any contract needs, far less than what exhausts a parser.
const maxDepth = 64

// CheckJSON accepts one value of I-JSON (RFC 7493: UTF-8, unique names, no lone surrogates, numbers within a double)
// without NUL characters. PostgreSQL can store and any receiver can read every accepted value, so bad JSON is refused
// here with its reason and does not fail later.
func CheckJSON(raw []byte) error {
	if err := CheckSyntax(raw); err != nil {
		return err
	}
	w := walker{rest: raw}
	return w.walk()
}

var byteOrderMark = []byte{0xEF, 0xBB, 0xBF}

// CheckSyntax accepts one value of JSON in UTF-8.
func CheckSyntax(raw []byte) error {
	if !utf8.Valid(raw) {
		return BadBody("The body must be valid UTF-8")
	}
	if json.Valid(raw) {
		return nil
	}
	if bytes.HasPrefix(raw, byteOrderMark) {
		return BadBody("The body begins with a byte order mark (EF BB BF), which is not JSON: send it without")
	}
	e := BadBody("The body is not valid JSON")
	var one json.RawMessage
	var syntax *json.SyntaxError
	if errors.As(json.Unmarshal(raw, &one), &syntax) { // only this error has the reason and the offset
		e.Message += ": " + syntax.Error()
		e.Details = Details{"offset": syntax.Offset}
	}
	return e
}

// walker makes one pass over syntactically valid JSON and checks the further rules of I-JSON.
type walker struct {
	rest []byte
	open []level
}

// level is an open object or array.
type level struct {
	object bool
	atName bool     // the next string is a name
	names  []string // names so far
}

func (w *walker) walk() error {
	for len(w.rest) > 0 {
		var err error
		switch c := w.rest[0]; c {
		case '{', '[':
			err = w.enter(c == '{')
		case '}', ']':
			err = w.leave()
		case ',':
			top := &w.open[len(w.open)-1]
			top.atName = top.object
			w.rest = w.rest[1:]
		case '"':
			err = w.text()
		case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
			err = w.number()
		default: // white space, colons, and the letters of true, false and null
			w.rest = w.rest[1:]
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (w *walker) enter(object bool) error {
	if len(w.open) == maxDepth {
		return BadBody("The body must not be nested deeper than 64 levels")
	}
	w.open, w.rest = append(w.open, level{object: object, atName: object}), w.rest[1:]
	return nil
}

// leave closes a level and checks that an object's names are unique. It sorts them, so that the cost stays low for many
// names.
func (w *walker) leave() error {
	top := len(w.open) - 1
	names := w.open[top].names
	w.open, w.rest = w.open[:top], w.rest[1:]
	slices.Sort(names)
	for i := 1; i < len(names); i++ {
		if names[i] == names[i-1] {
			return Invalid(names[i], names[i]+" is there twice")
		}
	}
	return nil
}

// text reads a string, which may be a name.
func (w *walker) text() error {
	end, escaped := 1, false
	for ; w.rest[end] != '"'; end++ {
		if w.rest[end] == '\\' {
			end, escaped = end+1, true
		}
	}
	literal := w.rest[:end+1]
	w.rest = w.rest[end+1:]
	if escaped {
		if err := checkEscapes(literal); err != nil {
			return err
		}
	}
	if top := len(w.open) - 1; top >= 0 && w.open[top].atName {
		name := string(literal[1:end])
		if escaped {
			_ = json.Unmarshal(literal, &name) // valid syntax
		}
		w.open[top].names, w.open[top].atName = append(w.open[top].names, name), false
	}
	return nil
}

// checkEscapes refuses \u0000, which PostgreSQL cannot store, and lone surrogates, which are not characters.
func checkEscapes(literal []byte) error {
	for i := 0; i < len(literal); i++ {
		if literal[i] != '\\' {
			continue
		}
		i++
		if literal[i] != 'u' {
			continue
		}
		r := hex4(literal[i+1:])
		i += 4
		switch {
		case r == 0:
			return BadBody(`The body must not contain NUL characters (\u0000)`)
		case utf16.IsSurrogate(r):
			if i+6 >= len(literal) || literal[i+1] != '\\' || literal[i+2] != 'u' ||
				utf16.DecodeRune(r, hex4(literal[i+3:])) == utf8.RuneError {
				return BadBody(`The body must not contain half of a surrogate pair (\ud800–\udfff)`)
			}
			i += 6
		}
	}
	return nil
}

// hex4 parses the digits of a \u escape, which are known to be valid.
func hex4(b []byte) rune {
	n, _ := strconv.ParseUint(string(b[:4]), 16, 32)
	return rune(n)
}

func (w *walker) number() error {
	end := 1
	for end < len(w.rest) && strings.IndexByte("0123456789.eE+-", w.rest[end]) >= 0 {
		end++
	}
	literal := string(w.rest[:end])
	w.rest = w.rest[end:]
	if f, err := strconv.ParseFloat(literal, 64); err != nil || !storable(literal, f) {
		return BadBody("The body has a number that is out of range: " + Clip(literal))
	}
	return nil
}

// maxScale limits the digits after the decimal point and maxExponent the exponent: PostgreSQL's numeric, as which jsonb
// stores numbers, has these limits (https://www.postgresql.org/docs/current/datatype-numeric.html).
const (
	maxScale    = 16383
	maxExponent = 1 << 20
)

// storable reports whether jsonb can store the number, whose value as a double is f. A number other than zero that
// underflows to zero is out of range; a zero may have any exponent.
func storable(literal string, f float64) bool {
	digits, exp, _ := strings.Cut(strings.ToLower(literal), "e")
	if f == 0 && strings.Trim(digits, "-0.") != "" {
		return false
	}
	exponent := 0
	if exp != "" {
		var err error
		if exponent, err = strconv.Atoi(exp); err != nil || exponent > maxExponent {
			return false
		}
	}
	_, fraction, _ := strings.Cut(digits, ".")
	return len(fraction)-exponent <= maxScale
}
