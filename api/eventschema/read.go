package eventschema

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// limits are the limits of read; zero is no limit.
type limits struct{ depth, values, elements int }

// maxNumber limits the digits and the exponent of a number: exact arithmetic on 1e1000000 takes a million digits.
const maxNumber = 400

// reader converts JSON to the Go values that the schema library expects, with the original text of numbers.
type reader struct {
	limits
	decoder *json.Decoder
	path    []string
	count   int
}

func read(text []byte, l limits) (any, error) {
	r := reader{limits: l, decoder: json.NewDecoder(bytes.NewReader(text))}
	r.decoder.UseNumber()
	v, err := r.value()
	if err != nil {
		return nil, err
	}
	if _, err := r.decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, &Fault{"", "must be one JSON value"}
	}
	return v, nil
}

func (r *reader) fault(format string, args ...any) error {
	return &Fault{pointer(r.path), fmt.Sprintf(format, args...)}
}

func (r *reader) token() (json.Token, error) {
	t, err := r.decoder.Token()
	if err != nil {
		return nil, r.fault("must be valid JSON")
	}
	return t, nil
}

func (r *reader) value() (any, error) {
	t, err := r.token()
	if err != nil {
		return nil, err
	}
	if r.count++; r.values > 0 && r.count > r.values {
		return nil, &Fault{"", fmt.Sprintf("must have at most %d values", r.values)}
	}
	switch t := t.(type) {
	case json.Number:
		if !exact(t.String()) {
			return nil, r.fault("must be a number of at most %d digits and an exponent within ±%d", maxNumber, maxNumber)
		}
		return t, nil
	case json.Delim:
		if r.depth > 0 && len(r.path) >= r.depth {
			return nil, &Fault{"", fmt.Sprintf("must be nested at most %d deep", r.depth)}
		}
		if t == '{' {
			return r.object()
		}
		return r.array()
	default:
		return t, nil
	}
}

func (r *reader) object() (any, error) {
	out := map[string]any{}
	for r.decoder.More() {
		t, err := r.token()
		if err != nil {
			return nil, err
		}
		name, ok := t.(string)
		if !ok {
			return nil, r.fault("must be valid JSON")
		}
		r.path = append(r.path, name)
		if _, twice := out[name]; twice {
			return nil, r.fault("must be there once")
		}
		if out[name], err = r.value(); err != nil {
			return nil, err
		}
		r.path = r.path[:len(r.path)-1]
	}
	_, err := r.token()
	return out, err
}

func (r *reader) array() (any, error) {
	out := []any{}
	for r.decoder.More() {
		r.path = append(r.path, strconv.Itoa(len(out)))
		v, err := r.value()
		if err != nil {
			return nil, err
		}
		r.path = r.path[:len(r.path)-1]
		if out = append(out, v); r.elements > 0 && len(out) > r.elements {
			return nil, r.fault("must have at most %d elements, because its schema asks that arrays have none twice", r.elements)
		}
	}
	_, err := r.token()
	return out, err
}

// exact reports whether exact arithmetic on a number is cheap.
func exact(number string) bool {
	if len(number) > maxNumber {
		return false
	}
	if i := strings.IndexAny(number, "eE"); i >= 0 {
		exponent, err := strconv.Atoi(number[i+1:])
		return err == nil && -maxNumber <= exponent && exponent <= maxNumber
	}
	return true
}

var escaper = strings.NewReplacer("~", "~0", "/", "~1")

// pointer returns a JSON pointer (RFC 6901).
func pointer(tokens []string) string {
	var b strings.Builder
	for _, t := range tokens {
		b.WriteByte('/')
		b.WriteString(escaper.Replace(t))
	}
	return b.String()
}
