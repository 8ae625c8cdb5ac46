package eventschema

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// ErrNoExample is returned for a schema to which no example was found. There may be one all the same: schemas can
// require what only their author knows how to make.
var ErrNoExample = errors.New("no example of the schema was found")

// Example returns a body that the schema accepts: the first of its own `examples` that it accepts, or else one made
// from its constants, enumerations, defaults, formats and bounds. The same schema gives the same body.
func (b *Budget) Example(s *Schema) ([]byte, error) {
	c, err := s.take()
	if err != nil {
		return nil, fmt.Errorf("compile event schema: %w", err)
	}
	allowed := min(maxSteps, b.left)
	c.steps.left = allowed
	bodies := examples(c.root)
	b.left -= allowed - max(c.steps.left, 0)
	s.give(c)
	for _, body := range bodies {
		var fault *Fault
		switch err := b.Validate(s, body); {
		case err == nil:
			return body, nil
		case !errors.As(err, &fault):
			return nil, err
		}
	}
	return nil, ErrNoExample
}

// examples returns bodies that the schema may accept, the best first.
func examples(root *jsonschema.Schema) (bodies [][]byte) {
	defer func() {
		if r := recover(); r != nil && r != any(exhausted{}) {
			panic(r)
		}
	}()
	add := func(v any) {
		if body, err := json.Marshal(v); err == nil {
			bodies = append(bodies, body)
		}
	}
	whole := conjunction(root)
	for _, one := range whole {
		for _, v := range one.Examples {
			add(v)
		}
	}
	for first := range maxFirst {
		for _, m := range []maker{{annotated: true, optional: true}, {optional: true}, {}} {
			m.first, m.left = first, maxExample
			if v, made := m.value(whole, 0); made {
				add(v)
			}
		}
	}
	return bodies
}

const (
	// maxExample limits the values that are tried for one example.
	maxExample = 2000
	// maxExampleDepth limits the nesting of an example, and optionalDepth that of the properties that may be left out: a
	// schema may refer to itself.
	maxExampleDepth, optionalDepth = 40, 5
	// maxFirst limits the alternatives that are tried first.
	maxFirst = 4
	// maxExampleLength limits the elements of an array and the characters of a text.
	maxExampleLength = 1000
)

// maker makes one example.
type maker struct {
	annotated bool // use examples and defaults of properties
	optional  bool // set properties that are not required
	first     int  // which of several alternatives to try first
	left      int
}

// value returns a value that the shape may accept; made is false if none was found.
func (m *maker) value(s shape, depth int) (v any, made bool) {
	if m.left--; m.left < 0 || depth > maxExampleDepth || s.never() {
		return nil, false
	}
	if m.annotated && depth > 0 {
		for _, one := range s {
			if len(one.Examples) > 0 {
				return one.Examples[0], true
			}
			if one.Default != nil {
				return *one.Default, true
			}
		}
	}
	if cases := s.cases(); cases != nil {
		for i := range cases {
			if v, made := m.value(s.and(cases[(i+m.first)%len(cases)]), depth); made {
				return v, true
			}
		}
		return nil, false
	}
	if values, few := s.values(); few {
		for _, v := range values {
			if typeOf(v)&s.types() != 0 {
				return v, true
			}
		}
		return nil, false
	}
	return m.typed(s, depth)
}

// typed makes a value of the type that the shape describes most.
func (m *maker) typed(s shape, depth int) (any, bool) {
	types := s.types()
	if types == anything {
		types = s.described(depth)
	}
	switch {
	case types&objects != 0:
		return m.object(s, depth)
	case types&arrays != 0:
		return m.array(s, depth)
	case types&texts != 0:
		return text(s)
	case types&numbers != 0:
		return number(s, types&fractions == 0)
	case types&booleans != 0:
		return true, true
	}
	return nil, types&nulls != 0
}

// described returns the type that a shape without types has words about.
func (s shape) described(depth int) typeSet {
	for _, one := range s {
		switch {
		case one.Properties != nil || one.Required != nil || one.AdditionalProperties != nil || one.MinProperties != nil:
			return objects
		case one.Items2020 != nil || one.PrefixItems != nil || one.MinItems != nil || one.Contains != nil:
			return arrays
		case one.Minimum != nil || one.Maximum != nil || one.MultipleOf != nil ||
			one.ExclusiveMinimum != nil || one.ExclusiveMaximum != nil:
			return numbers
		}
	}
	if depth == 0 {
		return objects // the data of an event is one
	}
	return texts
}

func typeOf(v any) typeSet {
	switch v := v.(type) {
	case nil:
		return nulls
	case bool:
		return booleans
	case string:
		return texts
	case json.Number:
		if r, ok := new(big.Rat).SetString(v.String()); ok && r.IsInt() {
			return integers
		}
		return fractions
	case []any:
		return arrays
	}
	return objects
}

// object sets the required properties and, if wanted, the others that the schema names.
func (m *maker) object(s shape, depth int) (any, bool) {
	required, names := map[string]bool{}, map[string]bool{}
	for _, one := range s {
		for _, name := range one.Required {
			required[name], names[name] = true, true
		}
		for name := range one.Properties {
			names[name] = names[name] || m.optional && depth < optionalDepth
		}
	}
	out := map[string]any{}
	for _, name := range sortedKeys(names) {
		if !names[name] {
			continue
		}
		v, made := m.value(s.property(name), depth+1)
		if made {
			out[name] = v
		} else if required[name] {
			return nil, false
		}
	}
	return out, true
}

// array makes one element, or as many as the schema requires.
func (m *maker) array(s shape, depth int) (any, bool) {
	least := s.least(func(one *jsonschema.Schema) *int { return one.MinItems })
	wanted := s.least(containsLeast)
	n := max(least, wanted, 1)
	if most, bounded := s.most(func(one *jsonschema.Schema) *int { return one.MaxItems }); bounded {
		n = min(n, most)
	}
	if n > maxExampleLength || (least == 0 && depth >= optionalDepth) {
		return []any{}, n <= maxExampleLength
	}
	out := make([]any, 0, n)
	for i := range n {
		one := s.element(i)
		if i < wanted {
			for _, part := range s {
				one = one.and(part.Contains)
			}
		}
		v, made := m.value(one, depth+1)
		if !made {
			return out, i >= least
		}
		out = append(out, v)
	}
	return out, true
}

// containsLeast returns how many elements must match contains.
func containsLeast(one *jsonschema.Schema) *int {
	if one.Contains == nil || one.MinContains != nil {
		return one.MinContains
	}
	n := 1
	return &n
}

// exampleTexts are texts of the formats that are checked.
var exampleTexts = map[string]string{
	"date-time": "2024-01-20T14:30:00Z", "date": "2024-01-20", "time": "14:30:00Z", "duration": "P1D", "period": "P1D",
	"email": "ada@example.com", "hostname": "example.com", "ipv4": "192.0.2.1", "ipv6": "2001:db8::1",
	"uri": "https://example.com/", "iri": "https://example.com/", "uri-reference": "/example", "iri-reference": "/example",
	"uri-template": "/example/{id}", "uuid": "0198c2a4-5b1e-7c3a-9d4f-6e2b8a1c0d22", "json-pointer": "/example",
	"relative-json-pointer": "0", "regex": "^a+$", "semver": "1.0.0",
}

func text(s shape) (any, bool) {
	least := s.least(func(one *jsonschema.Schema) *int { return one.MinLength })
	most, bounded := s.most(func(one *jsonschema.Schema) *int { return one.MaxLength })
	if !bounded {
		most = maxExampleLength
	}
	if least > maxExampleLength {
		return nil, false
	}
	for _, one := range s {
		if one.Pattern != nil {
			return textOf(one.Pattern.String(), least, most)
		}
	}
	for _, one := range s {
		if one.Format != nil && exampleTexts[one.Format.Name] != "" {
			return exampleTexts[one.Format.Name], true
		}
	}
	word := strings.Repeat("text", 1+least/len("text"))
	return word[:min(max(least, len("text")), most)], true
}

// number returns 1, or the number nearest to the lower bound, or to the upper one if there is no lower one.
func number(s shape, whole bool) (any, bool) {
	step := big.NewRat(1, 1)
	for _, one := range s {
		if one.MultipleOf != nil {
			step = one.MultipleOf
			break
		}
	}
	low, high := s.bound(1), s.bound(-1)
	candidates := []*big.Rat{new(big.Rat).Set(step)}
	if low.value != nil {
		at := roundUp(low.value, step)
		candidates = append(candidates, at, new(big.Rat).Add(at, step))
		if high.value != nil && !whole {
			middle := new(big.Rat).Add(low.value, high.value)
			candidates = append(candidates, middle.Quo(middle, big.NewRat(2, 1)))
		}
	} else if high.value != nil {
		at := roundUp(high.value, step)
		candidates = append(candidates, at, new(big.Rat).Sub(at, step), new(big.Rat).Sub(at, big.NewRat(2, 1)))
	}
	i := slices.IndexFunc(candidates, func(n *big.Rat) bool {
		return low.admits(n, 1) && high.admits(n, -1) && (!whole || n.IsInt())
	})
	if i < 0 {
		return nil, false
	}
	return numeral(candidates[i]), true
}

// roundUp returns the smallest multiple of step that is not below n.
func roundUp(n, step *big.Rat) *big.Rat {
	times := new(big.Rat).Quo(n, step)
	whole, rest := new(big.Int).QuoRem(times.Num(), times.Denom(), new(big.Int))
	if rest.Sign() > 0 {
		whole.Add(whole, big.NewInt(1))
	}
	return new(big.Rat).Mul(new(big.Rat).SetInt(whole), step)
}

// admits reports whether n is on the right side of the bound; side is 1 for lower bounds and -1 for upper ones.
func (b bound) admits(n *big.Rat, side int) bool {
	if b.value == nil {
		return true
	}
	c := side * n.Cmp(b.value)
	return c > 0 || c == 0 && !b.exclusive
}

// numeral writes a number with as many decimals as it has, at most 12.
func numeral(n *big.Rat) json.Number {
	if n.IsInt() {
		return json.Number(n.Num().String())
	}
	return json.Number(strings.TrimRight(n.FloatString(12), "0"))
}
