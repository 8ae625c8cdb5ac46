package pg

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

// JSONError is a rule that well-formed JSON breaks.
type JSONError struct {
	// Rule completes the sentence "The body …".
	Rule string
}

// Error implements error.
func (e *JSONError) Error() string { return "the JSON " + e.Rule }

// maxDepth limits the nesting of a value: far more than any contract needs, far less than what exhausts a parser.
const maxDepth = 64

var errTwoValues = errors.New("more than one value")

// CheckJSON accepts one value of I-JSON (RFC 7493: UTF-8, unique names, no lone surrogates, numbers within a double)
// without NUL characters, so every accepted value can be stored as jsonb. Its errors are a JSONError, or those of
// jsontext.
func CheckJSON(raw []byte) error { return checkJSON(raw) }

// JSONFault is for what other systems answer: why raw cannot be stored as jsonb; "" if it can. It completes the
// sentence "the answer …". Names may be there twice, of which jsonb keeps the last.
func JSONFault(raw []byte) string {
	err := checkJSON(raw, jsontext.AllowDuplicateNames(true))
	var rule *JSONError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &rule):
		return rule.Rule
	case !utf8.Valid(raw):
		return "must be valid UTF-8"
	case !json.Valid(raw):
		return "is not valid JSON"
	}
	return `must not contain half of a surrogate pair (\ud800–\udfff)`
}

func checkJSON(raw []byte, options ...jsontext.Options) error {
	tokens := jsontext.NewDecoder(bytes.NewBuffer(raw), options...) // a Buffer is read without a copy
	mayHaveNUL := bytes.Contains(raw, []byte(`\u0000`))
	for values := 0; ; {
		if tokens.StackDepth() == 0 {
			values++
		}
		token, err := tokens.ReadToken()
		switch {
		case err == io.EOF && values == 2: //nolint:errorlint // ReadToken does not wrap it
			return nil
		case err != nil:
			return err
		case values > 1:
			return errTwoValues
		}
		switch token.Kind() { //nolint:exhaustive // the other kinds have no further rules
		case '{', '[':
			if tokens.StackDepth() > maxDepth {
				return &JSONError{"must not be nested deeper than 64 levels"}
			}
		case '"':
			if mayHaveNUL && strings.Contains(token.String(), "\x00") {
				return &JSONError{`must not contain NUL characters (\u0000)`}
			}
		case '0':
			if number := token.String(); !storable(number) {
				return &JSONError{"has a number that is out of range: " + clipNumber(number)}
			}
		}
	}
}

// clipNumber bounds a number in a message.
func clipNumber(number string) string {
	const most = 100
	if len(number) <= most {
		return number
	}
	return number[:most] + "…"
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
