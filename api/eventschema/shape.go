package eventschema

import (
	"math/big"
	"slices"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// shape is a list of schemas that all hold for the same value, without those that they refer to, which are in the
// list too.
type shape []*jsonschema.Schema

// conjunction takes allOf and $ref apart.
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

// bare: a reference and nothing else. Left out, a schema looks the same wherever it is referred to.
func bare(s *jsonschema.Schema) bool {
	if s.Ref == nil || len(s.Extensions) == 0 {
		return false
	}
	k, ok := s.Extensions[0].(cost)
	return ok && k.own == 1
}

// never: nothing fits.
func (s shape) never() bool {
	return slices.ContainsFunc(s, func(one *jsonschema.Schema) bool { return one.Bool != nil && !*one.Bool })
}

// cases are alternatives of which one holds; nil: there are none that have not been told apart yet.
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

// has: one of the schemas is that one, or they are all that it refers to.
func (s shape) has(one *jsonschema.Schema) bool {
	return !slices.ContainsFunc(conjunction(one), func(part *jsonschema.Schema) bool { return !slices.Contains(s, part) })
}

// values are all that can fit, when they are listed or few; some of them may not fit.
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

// types are those that a value of the shape can have.
func (s shape) types() typeSet {
	set := anything
	for _, one := range s {
		if one.Types != nil && !one.Types.IsEmpty() {
			set &= setOf(one.Types)
		}
	}
	return set
}

// least is the highest of the lower bounds that get names; 0 without any.
func (s shape) least(get func(*jsonschema.Schema) *int) int {
	least := 0
	for _, one := range s {
		if n := get(one); n != nil {
			least = max(least, *n)
		}
	}
	return least
}

// most is the lowest of the upper bounds that get names.
func (s shape) most(get func(*jsonschema.Schema) *int) (most int, bounded bool) {
	for _, one := range s {
		if n := get(one); n != nil && (!bounded || *n < most) {
			most, bounded = *n, true
		}
	}
	return most, bounded
}

// bound is a limit of numbers; nil: none.
type bound struct {
	value     *big.Rat
	exclusive bool
}

// tighter reports whether a bound allows less than another or the same; side is 1 for lower bounds and -1 for upper
// ones.
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
