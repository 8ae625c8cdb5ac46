package surface

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/go-playground/validator/v10"
)

// Rule validates a value by the tag of T's field with that JSON name.
func Rule[T any](name string, value any) error {
	fields := fieldsOf(reflect.TypeFor[T]())
	i := slices.IndexFunc(fields, func(f field) bool { return f.name == name })
	return check(reflect.ValueOf(value), fields[i], name)
}

// Limits of metadata (reference §2.15).
const (
	maxMetadataBytes = 10 << 10
	maxMetadataDepth = 5
	maxMetadataKeys  = 50
)

var rules = newRules()

func newRules() *validator.Validate {
	v := validator.New()
	own := map[string]func([]byte) bool{"object": IsObject, "array": IsArray, "metadata": isMetadata}
	for tag, accepts := range own {
		if err := v.RegisterValidation(
			tag,
			func(fl validator.FieldLevel) bool { return accepts(fl.Field().Bytes()) },
		); err != nil {
			panic("api: rule " + tag + ": " + err.Error())
		}
	}
	return v
}

// IsObject reports whether valid JSON is an object.
func IsObject(raw []byte) bool { return bytes.HasPrefix(bytes.TrimSpace(raw), []byte("{")) }

// IsArray reports whether valid JSON is an array.
func IsArray(raw []byte) bool { return bytes.HasPrefix(bytes.TrimSpace(raw), []byte("[")) }

// isMetadata accepts an object of at most 10 KiB and 5 levels with at most 50 keys in all levels together.
func isMetadata(raw []byte) bool {
	if len(raw) > maxMetadataBytes || !IsObject(raw) {
		return false
	}
	depth, keys := measure(raw)
	return depth <= maxMetadataDepth && keys <= maxMetadataKeys
}

// measure returns the depth of a value and the number of keys of all its objects.
func measure(raw json.RawMessage) (depth, keys int) {
	var parts []json.RawMessage
	switch {
	case IsObject(raw):
		var object map[string]json.RawMessage
		_ = json.Unmarshal(raw, &object) // valid JSON
		keys = len(object)
		for _, p := range object {
			parts = append(parts, p)
		}
	case IsArray(raw):
		_ = json.Unmarshal(raw, &parts)
	default:
		return 0, 0
	}
	for _, p := range parts {
		d, k := measure(p)
		depth, keys = max(depth, d), keys+k
	}
	return depth + 1, keys
}

// check validates a value by its field's rules; the refusals name path.
func check(v reflect.Value, f field, path string) error {
	if f.required && (v.Kind() == reflect.String || v.Kind() == reflect.Slice) && v.Len() == 0 {
		return Invalid(path, path+" must not be empty")
	}
	if f.rules == "" {
		return nil
	}
	err := rules.Var(v.Interface(), f.rules)
	var failed validator.ValidationErrors
	if !errors.As(err, &failed) {
		return err // nil, or a rule that the validator does not know: a programming error
	}
	faults := make([]error, min(len(failed), maxFaults))
	for i := range faults {
		at := path + failed[i].Namespace() // "[2]" for an item of a list
		faults[i] = Invalid(at, at+" "+demand(failed[i]))
	}
	return Faults(faults...)
}

// demand says what a rule requires.
func demand(e validator.FieldError) string {
	switch e.Tag() {
	case "max", "lte", "min", "gte", "len":
		return bound(e)
	case "gt":
		return "must be greater than " + e.Param()
	case "lt":
		return "must be less than " + e.Param()
	case "oneof":
		return "must be one of: " + strings.ReplaceAll(e.Param(), " ", ", ")
	case "metadata":
		return fmt.Sprintf(
			"must be an object of at most %d KiB, %d levels and %d keys",
			maxMetadataBytes>>10,
			maxMetadataDepth,
			maxMetadataKeys,
		)
	case "datetime":
		return "must be a date like 2024-01-15"
	case "unique":
		return "must not have duplicates"
	}
	if d, known := demands[e.Tag()]; known {
		return "must be " + d
	}
	return "is not valid"
}

var demands = map[string]string{
	"email": "a valid e-mail address", "url": "a valid URL", "http_url": "a valid URL", "uuid": "a UUID",
	"e164": "a phone number with its country code, like +421900123456", "timezone": "a time zone like Europe/Bratislava",
	"object": "an object", "array": "an array", "iso3166_1_alpha2": "a country code of two letters",
	"iso4217": "a currency code of three letters", "bcp47_language_tag": "a language tag like en or pt-BR",
}

func bound(e validator.FieldError) string {
	words := map[string]string{"max": "at most", "lte": "at most", "min": "at least", "gte": "at least", "len": "exactly"}
	size := words[e.Tag()]
	kind := e.Kind()
	if kind == reflect.String {
		return "must be " + size + " " + e.Param() + " characters"
	}
	if kind == reflect.Slice || kind == reflect.Map {
		return "must have " + size + " " + e.Param() + " items"
	}
	return "must be " + size + " " + e.Param()
}
