package eventschema

import (
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
)

// finding is a fault before its conversion. If it is about a missing or surplus property, at ends with its name.
type finding struct {
	at      []string
	depth   int
	message string
}

// worst returns the deepest fault, the first by name if there are several: the library checks properties in random
// order.
func worst(err *jsonschema.ValidationError) *Fault {
	f := deepest(findings(err))
	return &Fault{pointer(f.at), f.message}
}

func deepest(all []finding) finding {
	return slices.MinFunc(all, func(a, b finding) int {
		if a.depth != b.depth {
			return b.depth - a.depth
		}
		if c := slices.Compare(a.at, b.at); c != 0 {
			return c
		}
		return strings.Compare(a.message, b.message)
	})
}

// findings returns the faults at the leaves of a validation error.
func findings(err *jsonschema.ValidationError) []finding {
	switch k := err.ErrorKind.(type) {
	case *kind.AnyOf:
		return alternatives(err)
	case *kind.OneOf:
		if k.Subschemas == nil {
			return alternatives(err)
		}
	case *kind.PropertyNames: // see badName, which does not occur when a schema is checked
		return []finding{{nil, -1, fmt.Sprintf("has a property with a name that is not allowed: %q", clip(k.Property))}}
	case *kind.Contains, *kind.MinContains:
	default:
		var out []finding
		for _, cause := range err.Causes {
			out = append(out, findings(cause)...)
		}
		if out != nil {
			return out
		}
	}
	at := slices.Clone(err.InstanceLocation)
	name, message := words(err.ErrorKind)
	if name != "" {
		return []finding{{append(at, name), len(at), message}}
	}
	return []finding{{at, len(at), message}}
}

// alternatives returns the faults of a value that matches none of several schemas: those of the closest one, or else
// what each of them requires.
func alternatives(err *jsonschema.ValidationError) []finding {
	depth := len(err.InstanceLocation)
	var all []finding
	for _, cause := range err.Causes {
		all = append(all, findings(cause)...)
	}
	if len(all) > 0 {
		if f := deepest(all); f.depth > depth {
			return []finding{f}
		}
	}
	var asked []string
	for _, f := range all {
		message := f.message
		if len(f.at) > depth {
			message = fmt.Sprintf("%s %s", strconv.Quote(f.at[depth]), message)
		}
		if !slices.Contains(asked, message) {
			asked = append(asked, message)
		}
	}
	slices.Sort(asked)
	return []finding{
		{
			slices.Clone(err.InstanceLocation),
			depth,
			"must fit one of the alternatives: " + clip(strings.Join(asked, "; or ")),
		},
	}
}

// words says what a value must be. If the fault is about one property, it also returns its name.
func words(k jsonschema.ErrorKind) (property, message string) {
	switch k := k.(type) {
	case *kind.Required:
		return k.Missing[0], "is required"
	case *kind.DependentRequired:
		return k.Missing[0], fmt.Sprintf("is required where %q is", k.Prop)
	case *kind.Dependency:
		return k.Missing[0], fmt.Sprintf("is required where %q is", k.Prop)
	case *kind.AdditionalProperties:
		return slices.Min(k.Properties), "is not a property that may be here"
	case badName:
		return k.name, "has a name that is not allowed here"
	case *kind.Type:
		return "", "must be " + typeWords(k.Want)
	case *kind.Const:
		return "", "must be " + show(k.Want)
	case *kind.Enum:
		return "", "must be one of " + showAll(k.Want)
	case *kind.FalseSchema:
		return "", "must not be here"
	case *kind.Format:
		if k.Want == "regex" {
			return "", fmt.Sprintf("must be a regular expression of at most %d characters, as RE2 has them", maxPattern)
		}
		return "", fmt.Sprintf("must be a valid %s", k.Want)
	case *kind.Pattern:
		return "", "must match the pattern " + clip(k.Want)
	case *kind.Not:
		return "", "must not fit what its schema excludes (not)"
	case *kind.OneOf:
		return "", fmt.Sprintf(
			"must fit one of the alternatives alone, and fits numbers %d and %d",
			k.Subschemas[0]+1,
			k.Subschemas[1]+1,
		)
	}
	return "", bounds(k)
}

func bounds(k jsonschema.ErrorKind) string {
	switch k := k.(type) {
	case *kind.MinLength:
		return fmt.Sprintf("must have at least %d characters", k.Want)
	case *kind.MaxLength:
		return fmt.Sprintf("must have at most %d characters", k.Want)
	case *kind.MinItems:
		return fmt.Sprintf("must have at least %d elements", k.Want)
	case *kind.MaxItems:
		return fmt.Sprintf("must have at most %d elements", k.Want)
	case *kind.MinProperties:
		return fmt.Sprintf("must have at least %d properties", k.Want)
	case *kind.MaxProperties:
		return fmt.Sprintf("must have at most %d properties", k.Want)
	case *kind.UniqueItems:
		return fmt.Sprintf("must not have an element twice, as %d and %d are", k.Duplicates[0], k.Duplicates[1])
	case *kind.Contains:
		return "must have an element that fits what it must contain"
	case *kind.MinContains:
		return fmt.Sprintf("must have at least %d elements that fit what it must contain", k.Want)
	case *kind.MaxContains:
		return fmt.Sprintf("must have at most %d elements that fit what it must contain", k.Want)
	case *kind.Minimum:
		return "must be at least " + decimal(k.Want)
	case *kind.Maximum:
		return "must be at most " + decimal(k.Want)
	case *kind.ExclusiveMinimum:
		return "must be greater than " + decimal(k.Want)
	case *kind.ExclusiveMaximum:
		return "must be less than " + decimal(k.Want)
	case *kind.MultipleOf:
		return "must be a multiple of " + decimal(k.Want)
	}
	return "does not fit its schema"
}

var typeNames = map[string]string{
	"string": "text", "number": "a number", "integer": "a whole number", "boolean": "true or false", "null": "null",
	"object": "an object", "array": "an array",
}

func typeWords(types []string) string {
	out := make([]string, len(types))
	for i, t := range types {
		out[i] = typeNames[t]
	}
	return strings.Join(out, " or ")
}

// show formats a value of a schema, clipped.
func show(v any) string {
	switch v := v.(type) {
	case string:
		return clip(strconv.Quote(v))
	case nil:
		return "null"
	case map[string]any:
		return "the object that the schema names"
	case []any:
		return "the array that the schema names"
	}
	return clip(fmt.Sprint(v))
}

func showAll(values []any) string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = show(v)
	}
	return clip(strings.Join(out, ", "))
}

func decimal(r *big.Rat) string {
	f, _ := r.Float64()
	return strconv.FormatFloat(f, 'g', -1, 64)
}

// clip limits the length of what a message repeats from a schema.
func clip(s string) string {
	if r := []rune(s); len(r) > 200 {
		return string(r[:200]) + "…"
	}
	return s
}
