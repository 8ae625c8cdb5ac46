package eventschema

import (
	"maps"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// inPlace returns the sub-schemas that apply to the same place of a body as s.
func inPlace(s *jsonschema.Schema) []*jsonschema.Schema {
	out := slices.Concat(
		s.AllOf,
		s.AnyOf,
		s.OneOf,
		[]*jsonschema.Schema{s.Ref, s.RecursiveRef, s.Not, s.If, s.Then, s.Else},
	)
	if s.DynamicRef != nil {
		out = append(out, s.DynamicRef.Ref)
	}
	for _, name := range sortedKeys(s.DependentSchemas) {
		out = append(out, s.DependentSchemas[name])
	}
	for _, name := range sortedKeys(s.Dependencies) {
		sub, _ := s.Dependencies[name].(*jsonschema.Schema)
		out = append(out, sub)
	}
	return present(out)
}

// within returns the sub-schemas that apply to places inside it.
func within(s *jsonschema.Schema) []*jsonschema.Schema {
	out := append(
		slices.Clone(s.PrefixItems),
		s.Items2020,
		s.Contains,
		s.PropertyNames,
		s.UnevaluatedItems,
		s.UnevaluatedProperties,
	)
	for _, name := range sortedKeys(s.Properties) {
		out = append(out, s.Properties[name])
	}
	for _, p := range patternsOf(s) {
		out = append(out, p.schema)
	}
	additional, _ := s.AdditionalProperties.(*jsonschema.Schema)
	return present(append(out, additional))
}

func present(list []*jsonschema.Schema) []*jsonschema.Schema {
	return slices.DeleteFunc(list, func(s *jsonschema.Schema) bool { return s == nil })
}

// reachable returns all schemas that a check can reach.
func reachable(root *jsonschema.Schema) []*jsonschema.Schema {
	all, seen := []*jsonschema.Schema{root}, map[*jsonschema.Schema]bool{root: true}
	for i := 0; i < len(all); i++ {
		for _, sub := range append(inPlace(all[i]), within(all[i])...) {
			if !seen[sub] {
				seen[sub] = true
				all = append(all, sub)
			}
		}
	}
	return all
}

// named is the schema of the properties whose names match a pattern.
type named struct {
	pattern jsonschema.Regexp
	schema  *jsonschema.Schema
}

func patternsOf(s *jsonschema.Schema) []named {
	out := make([]named, 0, len(s.PatternProperties))
	for p, sub := range s.PatternProperties {
		out = append(out, named{p, sub})
	}
	sortPatterns(out)
	return out
}

func sortPatterns(list []named) {
	slices.SortFunc(list, func(a, b named) int { return strings.Compare(a.pattern.String(), b.pattern.String()) })
}
