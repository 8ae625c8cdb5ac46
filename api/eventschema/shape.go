package eventschema

import (
	"math/big"
	"slices"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// shape is a list of schemas that all apply to the same value. Schemas that they refer to are in the list too.
type shape []*jsonschema.Schema

// conjunction resolves allOf and $ref.
func conjunction(schemas ...*jsonschema.Schema) shape { return shape(nil).and(schemas...) }

// and adds schemas; nil allows everything.
func (s shape) and(schemas ...*jsonschema.Schema) shape {
	out := slices.Clone(s)
	var add func(*jsonschema.Schema)
	add = func(one *jsonschema.Schema) {
		if one == nil || slices.Contains(out, one) {
			return
		}
		if !bare(one) {
			out = append(out, one)
		}
		add(one.Ref)
		for _, part := range one.AllOf {
			add(part)
		}
	}
	for _, one := range schemas {
		add(one)
	}
	return out
}

// bare reports whether the schema is only a reference. Leaving these out makes a schema look the same wherever it is
// referred to.
func bare(s *jsonschema.Schema) bool {
	if s.Ref == nil || len(s.Extensions) == 0 {
		return false
	}
	k, ok := s.Extensions[0].(cost)
	return ok && k.own == 1
}

// never reports whether no value is valid.
func (s shape) never() bool {
	return slices.ContainsFunc(s, func(one *jsonschema.Schema) bool { return one.Bool != nil && !*one.Bool })
}

// cases returns alternatives of which one holds; nil: none that are not yet resolved.
func (s shape) cases() []*jsonschema.Schema {
	for _, one := range s {
		for _, list := range [][]*jsonschema.Schema{one.AnyOf, one.OneOf} {
			if list != nil && !slices.ContainsFunc(list, s.has) {
				return list
			}
		}
	}
	return nil
}

// has reports whether the shape has the schema or everything that it refers to.
func (s shape) has(one *jsonschema.Schema) bool {
	return !slices.ContainsFunc(conjunction(one), func(part *jsonschema.Schema) bool { return !slices.Contains(s, part) })
}

// values returns all values that may be valid, if they are listed or few; some of them may be invalid.
func (s shape) values() ([]any, bool) {
	for _, one := range s {
		if one.Const != nil {
			return []any{*one.Const}, true
		}
	}
	for _, one := range s {
		if one.Enum != nil {
			return one.Enum.Values, true
		}
	}
	switch s.types() {
	case 0:
		return nil, true
	case nulls:
		return []any{nil}, true
	case booleans:
		return []any{true, false}, true
	case nulls | booleans:
		return []any{nil, true, false}, true
	default:
		return nil, false
	}
}

// typeSet is a set of the types that a JSON value can have.
type typeSet int

const (
	nulls typeSet = 1 << iota
	booleans
	texts
	integers
	fractions
	arrays
	objects
	numbers  = integers | fractions
	anything = nulls | booleans | texts | numbers | arrays | objects
)

var typesOf = map[string]typeSet{
	"null":    nulls,
	"boolean": booleans,
	"string":  texts,
	"integer": integers,
	"number":  numbers,
	"array":   arrays,
	"object":  objects,
}

func (t typeSet) String() string {
	var words []string
	for _, name := range []string{"object", "array", "string", "number", "integer", "boolean", "null"} {
		if set := typesOf[name]; t&set == set {
			words = append(words, name)
			t &^= set
		}
	}
	if t&fractions != 0 {
		words = append(words, "number")
	}
	return typeWords(words)
}

func setOf(types *jsonschema.Types) (set typeSet) {
	for _, name := range types.ToStrings() {
		set |= typesOf[name]
	}
	return set
}

// types returns the types that a value of the shape may have.
func (s shape) types() typeSet {
	set := anything
	for _, one := range s {
		if one.Types != nil && !one.Types.IsEmpty() {
			set &= setOf(one.Types)
		}
	}
	return set
}

// least returns the highest of the lower bounds returned by get; 0 if there is none.
func (s shape) least(get func(*jsonschema.Schema) *int) int {
	least := 0
	for _, one := range s {
		if n := get(one); n != nil {
			least = max(least, *n)
		}
	}
	return least
}

// most returns the lowest of the upper bounds returned by get.
func (s shape) most(get func(*jsonschema.Schema) *int) (most int, bounded bool) {
	for _, one := range s {
		if n := get(one); n != nil && (!bounded || *n < most) {
			most, bounded = *n, true
		}
	}
	return most, bounded
}

// bound is a limit of numbers; a nil value: none.
type bound struct {
	value     *big.Rat
	exclusive bool
}

// tighter reports whether a bound allows the same as another or less; side is 1 for lower bounds and -1 for upper ones.
func (b bound) tighter(other bound, side int) bool {
	switch {
	case other.value == nil:
		return true
	case b.value == nil:
		return false
	}
	c := side * b.value.Cmp(other.value)
	return c > 0 || (c == 0 && (b.exclusive || !other.exclusive))
}

func (s shape) bound(side int) (out bound) {
	for _, one := range s {
		inclusive, exclusive := one.Minimum, one.ExclusiveMinimum
		if side < 0 {
			inclusive, exclusive = one.Maximum, one.ExclusiveMaximum
		}
		for _, b := range []bound{{inclusive, false}, {exclusive, true}} {
			if b.value != nil && b.tighter(out, side) {
				out = b
			}
		}
	}
	return out
}
