package eventschema

import (
	"slices"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// nothingFits is the schema of properties that are not allowed.
var nothingFits = &jsonschema.Schema{Bool: new(bool)}

func (c *comparison) coversObject(old *jsonschema.Schema, next shape, path string) bool {
	required := next.required()
	ok := c.coversCount(
		old.MinProperties,
		old.MaxProperties,
		max(next.least(minProperties), len(required)),
		next,
		maxProperties,
		path,
		"properties",
	)
	for _, name := range old.Required {
		if !required[name] {
			ok = c.broken(child(path, name), "may now be missing; it was required")
		}
	}
	for _, name := range sortedKeys(old.Properties) {
		ok = c.coversProperty(old.Properties[name], name, next, path) && ok
	}
	for _, p := range patternsOf(old) {
		ok = c.coversPattern(p, next, path) && ok
	}
	ok = c.coversOthers(old, next, path) && ok
	ok = c.coversNames(old, next, path) && ok
	return c.coversDependent(old, next, path) && ok
}

func child(path, name string) string { return path + "/" + escaper.Replace(name) }

func (s shape) required() map[string]bool {
	out := map[string]bool{}
	for _, one := range s {
		for _, name := range one.Required {
			out[name] = true
		}
	}
	return out
}

// coversProperty treats a property that the new schemas no longer describe as broken, even if they allow it: a receiver
// may rely on it.
func (c *comparison) coversProperty(old *jsonschema.Schema, name string, next shape, path string) bool {
	if !slices.ContainsFunc(next, func(n *jsonschema.Schema) bool { return describes(n, name) }) {
		return c.broken(child(path, name), "is not described any more")
	}
	return c.covers(old, next.property(name), child(path, name))
}

// describes reports whether the schema describes properties of that name.
func describes(s *jsonschema.Schema, name string) bool {
	return s.Properties[name] != nil || len(patternsFor(s, name)) > 0
}

// patternsFor returns the schemas of the patterns that match the name. Matching counts as steps.
func patternsFor(s *jsonschema.Schema, name string) (out []named) {
	for p, sub := range s.PatternProperties {
		if p.MatchString(name) {
			out = append(out, named{p, sub})
		}
	}
	sortPatterns(out)
	return out
}

// property returns the schemas of the value of a property of that name.
func (s shape) property(name string) shape {
	var out shape
	for _, one := range s {
		if !describes(one, name) {
			out = out.and(others(one))
			continue
		}
		out = out.and(one.Properties[name])
		for _, p := range patternsFor(one, name) {
			out = out.and(p.schema)
		}
	}
	return out
}

// others returns the schema of properties that are not described; nil: anything.
func others(s *jsonschema.Schema) *jsonschema.Schema {
	switch additional := s.AdditionalProperties.(type) {
	case bool:
		if !additional {
			return nothingFits
		}
	case *jsonschema.Schema:
		return additional
	}
	return nil
}

// closed returns a schema that lists all possible properties, or nil.
func (s shape) closed() *jsonschema.Schema {
	for _, one := range s {
		if o := others(one); o != nil && (shape{o}).never() {
			return one
		}
	}
	return nil
}

func (s shape) hasPattern(text string) bool {
	return slices.ContainsFunc(s, func(one *jsonschema.Schema) bool {
		return slices.ContainsFunc(patternsOf(one), func(p named) bool { return p.pattern.String() == text })
	})
}

// coversPattern compares the values of all properties whose names match the pattern.
func (c *comparison) coversPattern(old named, next shape, path string) bool {
	for _, n := range next {
		for _, p := range patternsOf(n) {
			if p.pattern.String() == old.pattern.String() &&
				c.quietly(func() bool { return c.covers(old.schema, conjunction(p.schema), "") }) {
				return true
			}
		}
	}
	all := next.closed()
	if all == nil || len(all.PatternProperties) > 0 {
		return c.broken(path+"/*", "properties named like %s need not fit what they did before", clip(old.pattern.String()))
	}
	ok := true
	for _, name := range sortedKeys(all.Properties) {
		if old.pattern.MatchString(name) {
			ok = c.covers(old.schema, next.property(name), child(path, name)) && ok
		}
	}
	return ok
}

// coversOthers compares the properties that the old schema does not describe with its schema for all others.
func (c *comparison) coversOthers(old *jsonschema.Schema, next shape, path string) bool {
	rest := others(old)
	if rest == nil {
		return true
	}
	ok, from := true, next
	all := next.closed()
	if all != nil {
		from = shape{all} // the other schemas can only describe properties of this one
	}
	for _, n := range from {
		for _, name := range sortedKeys(n.Properties) {
			if !describes(old, name) && !c.covers(rest, next.property(name), child(path, name)) {
				ok = false
			}
		}
		for _, p := range patternsOf(n) {
			if !(shape{old}).hasPattern(p.pattern.String()) {
				ok = c.covers(rest, conjunction(p.schema), path+"/*") && ok
			}
		}
	}
	if all != nil {
		return ok
	}
	var undescribed shape
	for _, n := range next {
		undescribed = undescribed.and(others(n))
	}
	return c.covers(rest, undescribed, path+"/*") && ok
}

func (c *comparison) coversNames(old *jsonschema.Schema, next shape, path string) bool {
	if old.PropertyNames == nil {
		return true
	}
	names := conjunction(&jsonschema.Schema{Types: textType()})
	for _, n := range next {
		names = names.and(n.PropertyNames)
	}
	if c.quietly(func() bool { return c.covers(old.PropertyNames, names, "") }) {
		return true
	}
	if all := next.closed(); all != nil && len(all.PatternProperties) == 0 {
		bad := func(name string) bool { return !c.allows(old.PropertyNames, name) }
		if !slices.ContainsFunc(sortedKeys(all.Properties), bad) {
			return true
		}
	}
	return c.broken(path, "may now have properties with other names than before (propertyNames)")
}

func textType() *jsonschema.Types {
	var t jsonschema.Types
	t.Add("string")
	return &t
}

// coversDependent compares what the presence of a property requires.
func (c *comparison) coversDependent(old *jsonschema.Schema, next shape, path string) bool {
	ok := true
	for _, name := range sortedKeys(old.DependentRequired) {
		with := next.required()
		for _, n := range next {
			for _, also := range n.DependentRequired[name] {
				with[also] = true
			}
		}
		for _, also := range old.DependentRequired[name] {
			if also != name && !with[also] {
				ok = c.broken(child(path, also), "may now be missing where %q is there", name)
			}
		}
	}
	for _, name := range sortedKeys(old.DependentSchemas) {
		with := next
		for _, n := range next {
			with = with.and(n.DependentSchemas[name])
		}
		if !c.quietly(func() bool { return c.covers(old.DependentSchemas[name], with, "") }) {
			ok = c.broken(path, "need not fit what it did before where %q is there", name)
		}
	}
	return ok
}
