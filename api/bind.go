package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"greenroom/db"
)

// maxBody is the largest body that is read, in bytes. Of several things at once (maxArrayBody) none may be larger.
const (
	maxBody      = 1 << 20
	maxArrayBody = 4 << 20
)

// bind reads the body into a T, strictly: one I-JSON object of at most 1 MiB whose fields T knows. Every refusal is an answer
// that names the field. Tags of T's fields: json (the name, matched exactly), validate (rules of validate.go; "required" means
// sent and not null), null:"ok" (an opt that may be null).
func bind[T any](c *gin.Context) (T, error) {
	raw, err := readBody(c, maxBody)
	if err != nil {
		var none T
		return none, err
	}
	return decode[T](raw)
}

// decode is bind for JSON that was read already.
func decode[T any](raw []byte) (v T, err error) {
	if len(raw) > maxBody {
		return v, tooLarge(maxBody)
	}
	if err := checkJSON(raw); err != nil {
		return v, err
	}
	if !isObject(raw) {
		return v, badBody("The body must be a JSON object")
	}
	return v, decodeObject(raw, reflect.ValueOf(&v).Elem(), "")
}

func badBody(message string) *apiError {
	return &apiError{Status: http.StatusBadRequest, Code: codeValidation, Message: message}
}

func tooLarge(limit int) *apiError {
	return &apiError{
		Status: http.StatusRequestEntityTooLarge, Code: codeTooLarge, Message: fmt.Sprintf("The body must be at most %d MiB", limit>>20),
		Details: details{"maxBytes": limit},
	}
}

// readBody also refuses what says that it is not JSON; saying nothing is fine, since many clients do.
func readBody(c *gin.Context, limit int) ([]byte, error) {
	if ct := c.GetHeader("Content-Type"); ct != "" && ct != "application/json" {
		media, _, err := mime.ParseMediaType(ct)
		if err != nil || media != "application/json" && !strings.HasSuffix(media, "+json") {
			return nil, &apiError{
				Status: http.StatusUnsupportedMediaType, Code: codeMediaType, Message: "The body must be application/json",
			}
		}
	}
	raw, err := io.ReadAll(http.MaxBytesReader(c.Writer, c.Request.Body, int64(limit)))
	var exceeded *http.MaxBytesError
	switch {
	case errors.As(err, &exceeded):
		return nil, tooLarge(limit)
	case err != nil:
		return nil, badBody("The body could not be read to its end")
	case len(bytes.TrimSpace(raw)) == 0:
		return nil, badBody("The body must be a JSON object; it is empty")
	}
	return raw, nil
}

// opt is a field that may be absent, null or a value: in a PATCH, absent is not null.
type opt[T any] struct {
	Set, Null bool
	Value     T
}

func (o *opt[T]) present(null bool) any {
	o.Set, o.Null = true, null
	return &o.Value
}

// ptr is nil for null, else the value: what a nullable column is given.
func (o *opt[T]) ptr() *T {
	if o.Null {
		return nil
	}
	return &o.Value
}

type optional interface{ present(null bool) any }

// field is what the tags of a struct's field say.
type field struct {
	name               string
	index              []int
	required, nullable bool
	rules              string
}

// knownFields keeps what fieldsOf has found, by type: tags do not change.
var knownFields sync.Map

func fieldsOf(t reflect.Type) []field {
	if known, found := knownFields.Load(t); found {
		return known.([]field) //nolint:forcetypeassert // nothing else is stored there
	}
	fs := readFields(t)
	knownFields.Store(t, fs)
	return fs
}

func readFields(t reflect.Type) []field {
	var fs []field
	for _, f := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "" || name == "-" || !f.IsExported() {
			continue
		}
		rules := f.Tag.Get("validate")
		rest, required := strings.CutPrefix(rules, "required")
		fs = append(fs, field{name, f.Index, required, f.Tag.Get("null") == "ok", strings.TrimPrefix(rest, ",")})
	}
	return fs
}

func decodeObject(raw json.RawMessage, v reflect.Value, path string) error {
	var sent map[string]json.RawMessage
	if err := json.Unmarshal(raw, &sent); err != nil || sent == nil {
		return invalid(path, path+" must be an object")
	}
	known := fieldsOf(v.Type())
	for _, name := range slices.Sorted(maps.Keys(sent)) {
		if !slices.ContainsFunc(known, func(f field) bool { return f.name == name }) {
			return invalid(join(path, name), join(path, name)+" is not a known field")
		}
	}
	for _, f := range known {
		value, isSent := sent[f.name]
		null := string(value) == "null"
		if f.required && (!isSent || null) {
			return missing(join(path, f.name))
		}
		if !isSent {
			continue
		}
		if err := decodeField(value, null, v.FieldByIndex(f.index), f, join(path, f.name)); err != nil {
			return err
		}
	}
	return nil
}

func decodeField(raw json.RawMessage, null bool, v reflect.Value, f field, path string) error {
	if o, is := v.Addr().Interface().(optional); is {
		if null && !f.nullable {
			return invalid(path, path+" must not be null")
		}
		v = reflect.ValueOf(o.present(null)).Elem()
	}
	if null { // of a field that is not required: as if it was not sent
		return nil
	}
	if err := decodeValue(raw, v, path); err != nil {
		return err
	}
	return check(v, f, path)
}

var (
	timeType = reflect.TypeFor[time.Time]()
	uuidType = reflect.TypeFor[uuid.UUID]()
	rawType  = reflect.TypeFor[json.RawMessage]()
)

func decodeValue(raw json.RawMessage, v reflect.Value, path string) error {
	switch t := v.Type(); {
	case t == timeType || t == uuidType:
		return decodeText(raw, v, path)
	case t == rawType:
		v.SetBytes(raw)
		return nil
	case t.Kind() == reflect.Pointer:
		v.Set(reflect.New(t.Elem()))
		return decodeValue(raw, v.Elem(), path)
	case reflect.PointerTo(t).Implements(reflect.TypeFor[json.Unmarshaler]()):
	case t.Kind() == reflect.Struct:
		return decodeObject(raw, v, path)
	case t.Kind() == reflect.Slice:
		return decodeSlice(raw, v, path)
	}
	return typed(json.Unmarshal(raw, v.Addr().Interface()), v.Type(), path)
}

func decodeSlice(raw json.RawMessage, v reflect.Value, path string) error {
	var items []json.RawMessage
	if err := json.Unmarshal(raw, &items); err != nil {
		return invalid(path, path+" must be an array")
	}
	v.Set(reflect.MakeSlice(v.Type(), len(items), len(items)))
	for i, item := range items {
		at := path + "[" + strconv.Itoa(i) + "]"
		if string(item) == "null" {
			return invalid(at, at+" must not be null")
		}
		if err := decodeValue(item, v.Index(i), at); err != nil {
			return err
		}
	}
	return nil
}

// decodeText reads the values that are strings in JSON but not in Go.
func decodeText(raw json.RawMessage, v reflect.Value, path string) error {
	var text string
	isText := json.Unmarshal(raw, &text) == nil
	if v.Type() == uuidType {
		id, valid := db.ParseID(text)
		if !isText || !valid {
			return invalid(path, path+" must be a UUID")
		}
		v.Set(reflect.ValueOf(id))
		return nil
	}
	t, reason := parseTime(text)
	if !isText || reason != "" {
		return invalid(path, path+" "+reason)
	}
	v.Set(reflect.ValueOf(t))
	return nil
}

// parseTime reads an RFC 3339 time, its offset honoured, or says what it must be. The years are those that every store here
// can hold.
func parseTime(text string) (t time.Time, reason string) {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return t, "must be a date and time with an offset, like 2024-01-15T10:30:00Z (RFC 3339)"
	}
	t = t.UTC()
	if t.Year() < 1970 || t.Year() > 9999 {
		return t, "must be between the years 1970 and 9999"
	}
	return t, ""
}

// typed turns a decoder's error into one that names the field and what it must be.
func typed(err error, t reflect.Type, path string) error {
	var known *apiError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &known):
		return known
	}
	return invalid(path, path+" must be "+kindName(t))
}

var kindNames = map[reflect.Kind]string{
	reflect.String: "a string", reflect.Bool: "true or false", reflect.Map: "an object",
	reflect.Int: "an integer", reflect.Int32: "an integer", reflect.Int64: "an integer",
	reflect.Float32: "a number", reflect.Float64: "a number",
}

func kindName(t reflect.Type) string {
	if name, known := kindNames[t.Kind()]; known {
		return name
	}
	return "of another type"
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}
