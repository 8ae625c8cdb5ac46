package eventschema

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

const (
	// maxReasons limits the reasons reported.
	maxReasons = 50
	// maxComparisons and maxCompareSteps limit a comparison; schemas that need more are reported as breaking.
	maxComparisons  = 10_000
	maxCompareSteps = 500_000
)

const tooComplicated = "the two schemas are too complicated to compare"

// comparison tries to prove that every value valid under the new schema is valid under the old one, and collects the
// reasons where it cannot.
type comparison struct {
	old, new *compiled
	reasons  []Fault
	// active are the pairs being compared. A recursive schema is proven for inner values by the proof for the outer ones,
	// because a comparison of a pair with itself is always at least one step deeper in the value.
	active map[string]bool
	ids    map[*jsonschema.Schema]int // numbers for the keys of pairs
	count  int
}

func compare(old, new *compiled) (reasons []Fault) { //nolint:predeclared // the usual names of the two schemas
	defer func() {
		switch r := recover().(type) {
		case nil:
		case exhausted:
			reasons = []Fault{{"", tooComplicated}}
		default:
			panic(r)
		}
	}()
	old.steps.left, new.steps.left = maxCompareSteps, maxCompareSteps
	c := &comparison{old: old, new: new, active: map[string]bool{}, ids: map[*jsonschema.Schema]int{}}
	for _, s := range append(reachable(old.root), reachable(new.root)...) {
		if s.DynamicRef != nil || s.RecursiveRef != nil {
			return []Fault{{"", "schemas with $dynamicRef cannot be compared"}}
		}
	}
	c.covers(old.root, conjunction(new.root), "")
	if c.count > maxComparisons {
		return []Fault{{"", tooComplicated}}
	}
	slices.SortStableFunc(c.reasons, func(a, b Fault) int { return strings.Compare(a.Path, b.Path) })
	c.reasons = slices.Compact(c.reasons)
	return c.reasons[:min(len(c.reasons), maxReasons)]
}

func (c *comparison) broken(path, format string, args ...any) bool {
	c.reasons = append(c.reasons, Fault{path, fmt.Sprintf(format, args...)})
	return false
}

// quietly tries a proof and discards its reasons.
func (c *comparison) quietly(proof func() bool) bool {
	kept := len(c.reasons)
	ok := proof()
	c.reasons = c.reasons[:kept]
	return ok
}

// spend counts the work of comparing a schema with a shape: each property of one is looked up among those of the
// others.
func (c *comparison) spend(old *jsonschema.Schema, next shape) {
	work := func(s *jsonschema.Schema) int {
		return 1 + len(s.Properties) + len(s.Required) + len(s.PatternProperties)
	}
	n := len(next) * len(next) // the schemas of a shape are distinct
	for _, one := range next {
		n += work(one) + len(old.PatternProperties)*len(one.PatternProperties)
	}
	c.old.steps.add((n + len(next)*work(old)) / 16)
}

// covers reports whether every value valid under all of next is valid under old.
func (c *comparison) covers(old *jsonschema.Schema, next shape, path string) bool {
	if next.never() {
		return true
	}
	ok := true
	for _, o := range conjunction(old) {
		c.spend(o, next)
		key := c.key(o, next)
		if slices.Contains(next, o) || c.active[key] {
			continue
		}
		c.active[key] = true
		if !c.coversOne(o, next, path) {
			ok = false
		}
		delete(c.active, key)
	}
	return ok
}

// key identifies a pair.
func (c *comparison) key(old *jsonschema.Schema, next shape) string {
	id := func(s *jsonschema.Schema) int {
		if c.ids[s] == 0 {
			c.ids[s] = len(c.ids) + 1
		}
		return c.ids[s]
	}
	all := make([]int, len(next))
	for i, one := range next {
		all[i] = id(one)
	}
	slices.Sort(all)
	return fmt.Sprint(id(old), all)
}

// coversOne is covers for one schema without its references. If the new schema has alternatives, each may be proven
// separately.
func (c *comparison) coversOne(old *jsonschema.Schema, next shape, path string) bool {
	before := len(c.reasons)
	if c.direct(old, next, path) {
		return true
	}
	cases := next.cases()
	if cases == nil || c.count > maxComparisons {
		return false
	}
	each := func() bool {
		return !slices.ContainsFunc(cases, func(one *jsonschema.Schema) bool {
			return !c.coversOne(old, next.and(one), path)
		})
	}
	if c.quietly(each) {
		c.reasons = c.reasons[:before]
		return true
	}
	return false
}

func (c *comparison) direct(old *jsonschema.Schema, next shape, path string) bool {
	if c.count++; c.count > maxComparisons {
		return false
	}
	if next.never() {
		return true
	}
	if old.Bool != nil {
		return *old.Bool || c.broken(path, "may now be there; nothing was allowed here")
	}
	if values, ok := next.values(); ok {
		return c.coversValues(old, next, values, path)
	}
	types := next.types()
	if old.Enum != nil || old.Const != nil {
		return c.broken(path, "may now have other values than those listed before")
	}
	checks := []bool{c.coversTypes(old, types, path), c.coversFormat(old, next, path), c.coversCombined(old, next, path)}
	if types&texts != 0 {
		checks = append(checks, c.coversText(old, next, path))
	}
	if types&numbers != 0 {
		checks = append(checks, c.coversNumber(old, next, path))
	}
	if types&arrays != 0 {
		checks = append(checks, c.coversArray(old, next, path))
	}
	if types&objects != 0 {
		checks = append(checks, c.coversObject(old, next, path))
	}
	return !slices.Contains(checks, false)
}

// coversValues checks each value of a new schema that allows finitely many.
func (c *comparison) coversValues(old *jsonschema.Schema, next shape, values []any, path string) bool {
	ok := true
	for _, v := range values {
		out := slices.ContainsFunc(next, func(n *jsonschema.Schema) bool { return c.excludes(n, v) })
		if !out && !c.allows(old, v) {
			ok = c.broken(path, "may now be %s, which was not allowed", show(v))
		}
	}
	return ok
}

// allows and excludes are not opposites: both are false for a value whose check runs out of steps.
func (*comparison) allows(s *jsonschema.Schema, v any) bool { return validate(s, v) == nil }

func (*comparison) excludes(s *jsonschema.Schema, v any) bool {
	return errors.As(validate(s, v), new(*Fault))
}

func (c *comparison) coversTypes(old *jsonschema.Schema, types typeSet, path string) bool {
	if old.Types == nil || old.Types.IsEmpty() {
		return true
	}
	if more := types &^ setOf(old.Types); more != 0 {
		return c.broken(path, "may now be %s; it was %s", more, typeWords(old.Types.ToStrings()))
	}
	return true
}

func (c *comparison) coversFormat(old *jsonschema.Schema, next shape, path string) bool {
	if old.Format == nil || slices.ContainsFunc(next, func(n *jsonschema.Schema) bool {
		return n.Format != nil && n.Format.Name == old.Format.Name
	}) {
		return true
	}
	return c.broken(path, "need not be a valid %s any more", old.Format.Name)
}

// same reports whether both schemas allow the same values.
func (c *comparison) same(a, b *jsonschema.Schema) bool {
	return c.quietly(func() bool {
		return c.covers(a, conjunction(b), "") && c.covers(b, conjunction(a), "")
	})
}

// coversCombined compares the keywords that combine schemas.
func (c *comparison) coversCombined(old *jsonschema.Schema, next shape, path string) bool {
	ok := true
	if old.Dependencies != nil || old.UnevaluatedItems != nil || old.UnevaluatedProperties != nil {
		ok = c.broken(path, "dependencies and unevaluated… of the old schema cannot be compared")
	}
	if old.Not != nil && !slices.ContainsFunc(next, func(n *jsonschema.Schema) bool {
		return n.Not != nil && c.quietly(func() bool { return c.covers(n.Not, conjunction(old.Not), "") })
	}) {
		ok = c.broken(path, "may now be what was excluded (not)")
	}
	if old.AnyOf != nil && !slices.ContainsFunc(old.AnyOf, func(o *jsonschema.Schema) bool {
		return c.quietly(func() bool { return c.covers(o, next, "") })
	}) {
		ok = c.broken(path, "may now be something else than the alternatives of before (anyOf)")
	}
	if old.OneOf != nil &&
		!slices.ContainsFunc(next, func(n *jsonschema.Schema) bool { return c.sameList(old.OneOf, n.OneOf) }) {
		ok = c.broken(path, "has other alternatives than before (oneOf), and may fit none of them or more than one")
	}
	return c.coversCondition(old, next, path) && ok
}

// sameList reports whether both lists have the same alternatives, in any order.
func (c *comparison) sameList(a, b []*jsonschema.Schema) bool {
	rest := slices.Clone(b)
	for _, one := range a {
		i := slices.IndexFunc(rest, func(other *jsonschema.Schema) bool { return c.same(one, other) })
		if i < 0 {
			return false
		}
		rest = slices.Delete(rest, i, i+1)
	}
	return len(rest) == 0
}

// coversCondition compares if, then and else.
func (c *comparison) coversCondition(old *jsonschema.Schema, next shape, path string) bool {
	if old.If == nil || (old.Then == nil && old.Else == nil) {
		return true
	}
	holds := func(then *jsonschema.Schema, next shape) bool {
		return then == nil || c.quietly(func() bool { return c.covers(then, next, "") })
	}
	if holds(old.Then, next) && holds(old.Else, next) {
		return true
	}
	for _, n := range next {
		if n.If != nil && c.same(old.If, n.If) && holds(old.Then, next.and(n.Then)) && holds(old.Else, next.and(n.Else)) {
			return true
		}
	}
	return c.broken(path, "need not fit the condition of before any more (if, then, else)")
}
