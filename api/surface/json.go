package surface

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// maxDepth limits the nesting of a body: far more than any contract needs, far less than what exhausts a parser.
const maxDepth = 64

// CheckJSON accepts one value of I-JSON (RFC 7493: UTF-8, unique names, no lone surrogates, numbers within a double)
// without NUL characters. PostgreSQL can store and any receiver can read every accepted value, so bad JSON is refused
// here with its reason and does not fail later.
func CheckJSON(raw []byte) error {
	tokens := jsontext.NewDecoder(bytes.NewBuffer(raw)) // a Buffer is read without a copy
	mayHaveNUL := bytes.Contains(raw, []byte(`\u0000`))
	for values := 0; ; {
		if tokens.StackDepth() == 0 {
			values++
		}
		token, err := tokens.ReadToken()
		switch {
		case err == io.EOF && values == 2: //nolint:errorlint // ReadToken does not wrap it
			return nil
		case err != nil || values > 1:
			return reasonOf(raw, err)
		}
		switch token.Kind() { //nolint:exhaustive // the other kinds have no further rules
		case '{', '[':
			if tokens.StackDepth() > maxDepth {
				return BadBody("The body must not be nested deeper than 64 levels")
			}
		case '"':
			if mayHaveNUL && strings.Contains(token.String(), "\x00") {
				return BadBody(`The body must not contain NUL characters (\u0000)`)
			}
		case '0':
			if number := token.String(); !storable(number) {
				return BadBody("The body has a number that is out of range: " + Clip(number))
			}
		}
	}
}

// reasonOf says why raw is refused. The standard library's syntax errors are the more readable ones. err is that of
// jsontext, which alone checks names and surrogates.
func reasonOf(raw []byte, err error) error {
	if bad := CheckSyntax(raw); bad != nil {
		return bad
	}
	var at *jsontext.SyntacticError
	if errors.As(err, &at) && errors.Is(err, jsontext.ErrDuplicateName) {
		name := at.JSONPointer.LastToken()
		return Invalid(name, name+" is there twice")
	}
	return BadBody(`The body must not contain half of a surrogate pair (\ud800–\udfff)`)
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

// maxScale limits the digits after the decimal point and maxExponent the exponent: PostgreSQL's numeric, as which jsonb
// stores numbers, has these limits (https://www.postgresql.org/docs/current/datatype-numeric.html).
const (
	maxScale    = 16383
	maxExponent = 1 << 20
)

// storable reports whether a double can hold the number and jsonb can store it. A number other than zero that
// underflows to zero is out of range; a zero may have any exponent.
func storable(literal string) bool {
	f, err := strconv.ParseFloat(literal, 64)
	if err != nil {
		return false
	}
	digits, exp, _ := strings.Cut(strings.ToLower(literal), "e")
	if f == 0 && strings.Trim(digits, "-0.") != "" {
		return false
	}
	exponent := 0
	if exp != "" {
		if exponent, err = strconv.Atoi(exp); err != nil || exponent > maxExponent {
			return false
		}
	}
	_, fraction, _ := strings.Cut(digits, ".")
	return len(fraction)-exponent <= maxScale
}
