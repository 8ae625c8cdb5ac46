package surface

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"greenroom/db/pg"
)

// MaxBody limits a body, in bytes, unless its route has another limit.
const MaxBody = 1 << 20

// SmallBody limits a body with some texts and no lists of unknown length, in bytes.
const SmallBody = 64 << 10

// Bind decodes the body into a T, strictly: one I-JSON object of at most the route's limit that only has fields of T. A
// refusal names the fields. T's tags: json (the name, case-sensitive), validate (the rules of validate.go; "required"
// means sent and not null), null:"ok" (an Opt that may be null).
func Bind[T any](c *gin.Context) (T, error) { return bind[T](c, decoder{}) }

// BindKnown is Bind that ignores unknown fields: for products whose clients send back the whole object that they have
// read.
func BindKnown[T any](c *gin.Context) (T, error) { return bind[T](c, decoder{ignoresUnknown: true}) }

func bind[T any](c *gin.Context, d decoder) (v T, err error) {
	raw, err := ReadBody(c)
	if err != nil {
		return v, err
	}
	err = d.body(raw, reflect.ValueOf(&v).Elem())
	return v, err
}

// Decode is Bind for JSON that has been read already.
func Decode[T any](raw []byte) (v T, err error) {
	err = decoder{}.body(raw, reflect.ValueOf(&v).Elem())
	return v, err
}

// decoder decodes JSON into values by their tags.
type decoder struct{ ignoresUnknown bool }

func (d decoder) body(raw []byte, v reflect.Value) error {
	if len(raw) > MaxBody {
		return TooLarge(MaxBody)
	}
	if err := CheckJSON(raw); err != nil {
		return err
	}
	if !IsObject(raw) {
		return BadBody("The body must be a JSON object")
	}
	return d.object(raw, v, "")
}

// BadBody refuses a body as a whole.
func BadBody(message string) *Error {
	return &Error{Status: http.StatusBadRequest, Code: CodeValidation, Message: message}
}

// TooLarge refuses a body of more than limit bytes; limit is a whole number of KiB.
func TooLarge(limit int) *Error {
	size := fmt.Sprintf("%d KiB", limit>>10)
	if limit%(1<<20) == 0 {
		size = fmt.Sprintf("%d MiB", limit>>20)
	}
	return &Error{
		Status:  http.StatusRequestEntityTooLarge,
		Code:    CodeTooLarge,
		Message: "The body must be at most " + size,
		Details: Details{"maxBytes": limit},
	}
}

// ReadBody reads the body, of at most the route's limit. It refuses a Content-Type other than JSON in UTF-8, but
// accepts a missing one, because many clients send none.
func ReadBody(c *gin.Context) ([]byte, error) {
	if ct := c.GetHeader("Content-Type"); ct != "" && ct != "application/json" {
		media, params, err := mime.ParseMediaType(ct)
		if err != nil || media != "application/json" && !strings.HasSuffix(media, "+json") {
			return nil, unsupported("The body must be application/json")
		}
		if charset := params["charset"]; charset != "" && !strings.EqualFold(charset, "utf-8") &&
			!strings.EqualFold(charset, "us-ascii") {
			return nil, unsupported("The body must be in UTF-8, as JSON is (RFC 8259)")
		}
	}
	limit := bodyLimitOf(c)
	var body bytes.Buffer
	if n := c.Request.ContentLength; n > 0 && n <= limit { // growing would take up to three times as much memory
		body.Grow(int(n) + bytes.MinRead)
	}
	_, err := body.ReadFrom(http.MaxBytesReader(c.Writer, c.Request.Body, limit))
	raw := body.Bytes()
	var exceeded *http.MaxBytesError
	switch {
	case errors.As(err, &exceeded):
		return nil, TooLarge(int(limit))
	case err != nil:
		return nil, unread(c, err)
	case len(bytes.TrimSpace(raw)) == 0:
		return nil, BadBody("The body must be a JSON object; it is empty")
	}
	return raw, nil
}

func unsupported(message string) *Error {
	return &Error{Status: http.StatusUnsupportedMediaType, Code: CodeMediaType, Message: message}
}

// unread refuses an incomplete body and closes the connection, which cannot be reused.
func unread(c *gin.Context, err error) *Error {
	c.Header("Connection", "close")
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return &Error{
			Status:  http.StatusRequestTimeout,
			Code:    CodeTimeout,
			Message: "The body was not received in time; send it again",
		}
	}
	return BadBody("The body ended before it was complete")
}

// Opt is a field that may be absent, null or a value. A PATCH distinguishes absent from null.
type Opt[T any] struct {
	Set, Null bool
	Value     T
}

func (o *Opt[T]) present(null bool) any {
	o.Set, o.Null = true, null
	return &o.Value
}

// Ptr is nil for null, otherwise the value, as a nullable column takes it.
func (o *Opt[T]) Ptr() *T {
	if o.Null {
		return nil
	}
	return &o.Value
}

type optional interface{ present(null bool) any }

// field describes a struct's field by its tags.
type field struct {
	name               string
	index              []int
	required, nullable bool
	rules              string
}

// knownFields caches the result of fieldsOf by type.
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

func (d decoder) object(raw json.RawMessage, v reflect.Value, path string) error {
	var sent map[string]json.RawMessage
	if err := json.Unmarshal(raw, &sent); err != nil || sent == nil {
		return Invalid(path, path+" must be an object")
	}
	known := fieldsOf(v.Type())
	var faults []error
	for _, name := range slices.Sorted(maps.Keys(sent)) {
		if len(faults) == maxFaults {
			break
		}
		if !d.ignoresUnknown && !slices.ContainsFunc(known, func(f field) bool { return f.name == name }) {
			faults = append(faults, unknown(path, name, known))
		}
	}
	for _, f := range known {
		value, isSent := sent[f.name]
		null := string(value) == "null"
		switch {
		case f.required && (!isSent || null):
			faults = append(faults, Missing(join(path, f.name)))
		case isSent:
			faults = append(faults, d.field(value, null, v.FieldByIndex(f.index), f, join(path, f.name)))
		}
	}
	return Faults(faults...)
}

func (d decoder) field(raw json.RawMessage, null bool, v reflect.Value, f field, path string) error {
	if o, is := v.Addr().Interface().(optional); is {
		if null && !f.nullable {
			return Invalid(path, path+" must not be null")
		}
		v = reflect.ValueOf(o.present(null)).Elem()
	}
	if null { // null for an optional field: as if it were absent
		return nil
	}
	if err := d.value(raw, v, path); err != nil {
		return err
	}
	return check(v, f, path)
}

var (
	timeType = reflect.TypeFor[time.Time]()
	uuidType = reflect.TypeFor[uuid.UUID]()
	rawType  = reflect.TypeFor[json.RawMessage]()
)

func (d decoder) value(raw json.RawMessage, v reflect.Value, path string) error {
	switch t := v.Type(); {
	case t == timeType || t == uuidType:
		return decodeText(raw, v, path)
	case t == rawType:
		v.SetBytes(raw)
		return nil
	case t.Kind() == reflect.Pointer:
		v.Set(reflect.New(t.Elem()))
		return d.value(raw, v.Elem(), path)
	case reflect.PointerTo(t).Implements(reflect.TypeFor[json.Unmarshaler]()):
	case t.Kind() == reflect.Struct:
		return d.object(raw, v, path)
	case t.Kind() == reflect.Slice:
		return d.slice(raw, v, path)
	}
	return typed(json.Unmarshal(raw, v.Addr().Interface()), v.Type(), path)
}

func (d decoder) slice(raw json.RawMessage, v reflect.Value, path string) error {
	var items []json.RawMessage
	if err := json.Unmarshal(raw, &items); err != nil {
		return Invalid(path, path+" must be an array")
	}
	v.Set(reflect.MakeSlice(v.Type(), len(items), len(items)))
	var faults []error
	for i, item := range items {
		at := path + "[" + strconv.Itoa(i) + "]"
		err := d.value(item, v.Index(i), at)
		if string(item) == "null" {
			err = Invalid(at, at+" must not be null")
		}
		if err == nil {
			continue
		}
		if faults = append(faults, err); len(faults) == maxFaults {
			break
		}
	}
	return Faults(faults...)
}

// decodeText decodes types that JSON represents as strings.
func decodeText(raw json.RawMessage, v reflect.Value, path string) error {
	var text string
	isText := json.Unmarshal(raw, &text) == nil
	if v.Type() == uuidType {
		id, valid := pg.ParseID(text)
		if !isText || !valid {
			return Invalid(path, path+" must be a UUID")
		}
		v.Set(reflect.ValueOf(id))
		return nil
	}
	t, reason := ParseTime(text)
	if !isText || reason != "" {
		return Invalid(path, path+" "+reason)
	}
	v.Set(reflect.ValueOf(t))
	return nil
}

// timeForm is RFC 3339 §5.6. Go's parser also accepts an hour of one digit, a comma, and an offset of any size.
var timeForm = regexp.MustCompile(`^\d{4}-\d{2}-\d{2}[tT]\d{2}:\d{2}:\d{2}(\.\d+)?([zZ]|[+-]([01]\d|2[0-3]):[0-5]\d)$`)

// ParseTime parses an RFC 3339 time and honours its offset; reason says what is wrong. The years are limited to those
// that every store supports.
func ParseTime(text string) (t time.Time, reason string) {
	t, err := time.Parse(time.RFC3339, strings.ToUpper(text)) // RFC 3339 §5.6: T and Z may be lower case
	if err != nil || !timeForm.MatchString(text) {
		return t, "must be a date and time with an offset, like 2024-01-15T10:30:00Z (RFC 3339)"
	}
	t = t.UTC()
	if t.Year() < 1970 || t.Year() > 9999 {
		return t, "must be between the years 1970 and 9999"
	}
	return t, ""
}

// typed converts a decoder's error into a refusal that names the field and its type.
func typed(err error, t reflect.Type, path string) error {
	if err == nil || gathered(err) != nil {
		return err
	}
	return Invalid(path, path+" must be "+kindName(t))
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

// HasBody reports whether the body has at least one byte.
func HasBody(r *http.Request) bool {
	buffered := bufio.NewReader(r.Body)
	if _, err := buffered.Peek(1); err != nil {
		return false
	}
	r.Body = struct {
		io.Reader
		io.Closer
	}{buffered, r.Body}
	return true
}

// SameJSON reports whether two JSON texts are equal apart from the order of names and white space, which jsonb does not
// keep.
func SameJSON(a, b json.RawMessage) bool {
	var x, y any
	return json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && reflect.DeepEqual(x, y)
}

// Encoded encodes a wire type of this program. It panics if that fails, which is a programming error.
func Encoded(v any) json.RawMessage {
	raw, err := json.Marshal(v)
	if err != nil {
		panic("api: encode: " + err.Error())
	}
	return raw
}
