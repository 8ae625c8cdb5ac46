package eventschema

import (
	"math/big"
	"slices"
	"strconv"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

func minLength(s *jsonschema.Schema) *int     { return s.MinLength }
func maxLength(s *jsonschema.Schema) *int     { return s.MaxLength }
func minItems(s *jsonschema.Schema) *int      { return s.MinItems }
func maxItems(s *jsonschema.Schema) *int      { return s.MaxItems }
func minProperties(s *jsonschema.Schema) *int { return s.MinProperties }
func maxProperties(s *jsonschema.Schema) *int { return s.MaxProperties }

func (c *comparison) coversText(old *jsonschema.Schema, next shape, path string) bool {
	ok := c.coversCount(old.MinLength, old.MaxLength, next.least(minLength), next, maxLength, path, "characters")
	if old.Pattern != nil && !slices.ContainsFunc(next, func(n *jsonschema.Schema) bool {
		return n.Pattern != nil && n.Pattern.String() == old.Pattern.String()
	}) {
		ok = c.broken(path, "need not match the pattern %s any more", clip(old.Pattern.String()))
	}
	return ok
}

// coversCount compares the size of values: at least least, and at most the lowest bound returned by get.
func (c *comparison) coversCount(
	oldMin, oldMax *int,
	least int,
	next shape,
	get func(*jsonschema.Schema) *int,
	path, what string,
) bool {
	ok := true
	if oldMin != nil && least < *oldMin {
		ok = c.broken(path, "may now have fewer than %d %s", *oldMin, what)
	}
	if oldMax != nil {
		if most, bounded := next.most(get); !bounded || most > *oldMax {
			ok = c.broken(path, "may now have more than %d %s", *oldMax, what)
		}
	}
	return ok
}

func (c *comparison) coversNumber(old *jsonschema.Schema, next shape, path string) bool {
	ok := true
	if b := (shape{old}).bound(1); !next.bound(1).tighter(b, 1) {
		ok = c.broken(path, "may now be less than before (%s)", decimal(b.value))
	}
	if b := (shape{old}).bound(-1); !next.bound(-1).tighter(b, -1) {
		ok = c.broken(path, "may now be greater than before (%s)", decimal(b.value))
	}
	if old.MultipleOf != nil && !multiple(next, old.MultipleOf) {
		ok = c.broken(path, "need not be a multiple of %s any more", decimal(old.MultipleOf))
	}
	return ok
}

// multiple reports whether every value of next is a multiple of that number.
func multiple(next shape, of *big.Rat) bool {
	steps := []*big.Rat{}
	for _, n := range next {
		if n.MultipleOf != nil {
			steps = append(steps, n.MultipleOf)
		}
	}
	if next.types()&fractions == 0 {
		steps = append(steps, big.NewRat(1, 1))
	}
	return slices.ContainsFunc(steps, func(step *big.Rat) bool { return new(big.Rat).Quo(step, of).IsInt() })
}

func (c *comparison) coversArray(old *jsonschema.Schema, next shape, path string) bool {
	ok := c.coversCount(old.MinItems, old.MaxItems, next.least(minItems), next, maxItems, path, "elements")
	most, bounded := next.most(maxItems)
	if old.UniqueItems && (!bounded || most > 1) &&
		!slices.ContainsFunc(next, func(n *jsonschema.Schema) bool { return n.UniqueItems }) {
		ok = c.broken(path, "may now have an element twice")
	}
	if !c.coversContains(old, next) {
		ok = c.broken(path, "need not contain what it did before (contains)")
	}
	first := len(old.PrefixItems) // elements with a schema of their own, in the old or the new schema
	for _, n := range next {
		first = max(first, len(n.PrefixItems))
	}
	for i := range first {
		if o := element(old, i); o != nil && (!bounded || i < most) {
			ok = c.covers(o, next.element(i), path+"/"+strconv.Itoa(i)) && ok
		}
	}
	if old.Items2020 != nil && (!bounded || first < most) {
		ok = c.covers(old.Items2020, next.element(first), path+"/*") && ok
	}
	return ok
}

// element returns the schema of the i-th element; nil: anything.
func element(s *jsonschema.Schema, i int) *jsonschema.Schema {
	if i < len(s.PrefixItems) {
		return s.PrefixItems[i]
	}
	return s.Items2020
}

func (s shape) element(i int) shape {
	var out shape
	for _, one := range s {
		out = out.and(element(one, i))
	}
	return out
}

// coversContains compares how many elements must match the contained schema.
func (c *comparison) coversContains(old *jsonschema.Schema, next shape) bool {
	if old.Contains == nil {
		return true
	}
	least := 1
	if old.MinContains != nil {
		least = *old.MinContains
	}
	if least == 0 && old.MaxContains == nil {
		return true
	}
	return slices.ContainsFunc(next, func(n *jsonschema.Schema) bool {
		if n.Contains == nil {
			return false
		}
		has := 1
		if n.MinContains != nil {
			has = *n.MinContains
		}
		if old.MaxContains != nil {
			return has >= least && n.MaxContains != nil && *n.MaxContains <= *old.MaxContains && c.same(old.Contains, n.Contains)
		}
		return has >= least && c.quietly(func() bool { return c.covers(old.Contains, conjunction(n.Contains), "") })
	})
}
