package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// maxDepth bounds how deep a body is nested: far more than any contract here needs, far less than what exhausts a parser.
const maxDepth = 64

// checkJSON accepts one value of I-JSON (RFC 7493: UTF-8, names unique, no lone surrogates, numbers within a double) without
// NUL characters. Everything that passes can be stored by PostgreSQL and read by any receiver, so that what is refused is
// refused here, by name, and not as a fault later.
func checkJSON(raw []byte) error {
	var one json.RawMessage
	if err := checkSyntax(raw, &one); err != nil {
		return err
	}
	if err := checkEscapes(raw); err != nil {
		return err
	}
	return checkTokens(raw)
}

// checkSyntax accepts one value of JSON in UTF-8 and decodes it.
func checkSyntax(raw []byte, value any) error {
	if !utf8.Valid(raw) {
		return badBody("The body must be valid UTF-8")
	}
	err := json.Unmarshal(raw, value)
	if err == nil {
		return nil
	}
	e := badBody("The body is not valid JSON")
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		e.Message += ": " + syntax.Error()
		e.Details = details{"offset": syntax.Offset}
	}
	return e
}

// checkEscapes refuses \u0000, which PostgreSQL cannot store, and halves of surrogate pairs, which are no characters.
func checkEscapes(raw []byte) error {
	for i := 0; i < len(raw); i++ {
		if raw[i] != '\\' {
			continue
		}
		i++
		if raw[i] != 'u' {
			continue
		}
		r := hex4(raw[i+1:])
		i += 4
		switch {
		case r == 0:
			return badBody(`The body must not contain NUL characters (\u0000)`)
		case utf16.IsSurrogate(r):
			if i+6 >= len(raw) || raw[i+1] != '\\' || raw[i+2] != 'u' || utf16.DecodeRune(r, hex4(raw[i+3:])) == utf8.RuneError {
				return badBody(`The body must not contain half of a surrogate pair (\ud800–\udfff)`)
			}
			i += 6
		}
	}
	return nil
}

// hex4 reads the digits of a \u escape, which the parser has seen to be there.
func hex4(b []byte) rune {
	n, _ := strconv.ParseUint(string(b[:4]), 16, 32)
	return rune(n)
}

// level is an object or an array that is still open.
type level struct {
	names  map[string]bool // of an object; nil for an array
	atName bool
}

func checkTokens(raw []byte) error {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var open []level
	for {
		token, err := dec.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return badBody("The body is not valid JSON")
		}
		if open, err = step(open, token); err != nil {
			return err
		}
	}
}

// step checks one token and returns what is open after it.
func step(open []level, token json.Token) ([]level, error) {
	top := len(open) - 1
	switch token := token.(type) {
	case json.Delim:
		if token == '}' || token == ']' {
			return value(open[:top]), nil
		}
		if len(open) == maxDepth {
			return nil, badBody("The body must not be nested deeper than 64 levels")
		}
		next := level{}
		if token == '{' {
			next = level{names: map[string]bool{}, atName: true}
		}
		return append(open, next), nil
	case string:
		if top >= 0 && open[top].atName {
			if open[top].names[token] {
				return nil, invalid(token, token+" is there twice")
			}
			open[top].names[token], open[top].atName = true, false
			return open, nil
		}
	case json.Number:
		if f, err := token.Float64(); err != nil || !storable(token.String(), f) {
			return nil, badBody("The body has a number that is out of range: " + token.String()[:min(len(token), 32)])
		}
	}
	return value(open), nil
}

// numberLimit is how many characters a number may have. A double needs at most 24; what is longer is not meant as a number.
const numberLimit = 64

// storable reports whether jsonb can keep a number: it stores every digit, so an exponent far below a double's range, which
// Go reads as 0, would not fit.
func storable(literal string, f float64) bool {
	if len(literal) > numberLimit {
		return false
	}
	return f != 0 || !strings.ContainsAny(literal, "eE")
}

// value is called after a whole value: in an object, a name comes next.
func value(open []level) []level {
	if top := len(open) - 1; top >= 0 && open[top].names != nil {
		open[top].atName = true
	}
	return open
}
