package surface

import (
	"bytes"
	"encoding/json"
	"errors"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"greenroom/db/pg"
)

// CheckJSON accepts one value of I-JSON (RFC 7493: UTF-8, unique names, no lone surrogates, numbers within a double)
// without NUL characters. PostgreSQL can store and any receiver can read every accepted value, so bad JSON is refused
// here with its reason and does not fail later.
func CheckJSON(raw []byte) error {
	err := pg.CheckJSON(raw)
	var rule *pg.JSONError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &rule):
		return BadBody("The body " + rule.Rule)
	}
	return reasonOf(raw, err)
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
