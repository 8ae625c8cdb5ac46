package eventschema_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"greenroom/api/eventschema"
)

type node = map[string]any

// values are bodies from a world so small that two schemas of it often allow the same ones.
func values(depth int) *rapid.Generator[any] {
	return rapid.Custom(func(t *rapid.T) any {
		kinds := 5
		if depth > 0 {
			kinds = 7
		}
		switch rapid.IntRange(0, kinds-1).Draw(t, "kind") {
		case 0:
			return nil
		case 1:
			return rapid.Bool().Draw(t, "bool")
		case 2:
			return rapid.IntRange(0, 3).Draw(t, "int")
		case 3:
			return 1.5
		case 4:
			return rapid.SampledFrom([]string{"", "a", "ab", "b"}).Draw(t, "text")
		case 5:
			return rapid.SliceOfN(values(depth-1), 0, 3).Draw(t, "array")
		default:
			return rapid.MapOfN(rapid.SampledFrom([]string{"a", "b", "ab"}), values(depth-1), 0, 3).Draw(t, "object")
		}
	})
}

var keywords = []string{
	"type",
	"enum",
	"const",
	"minimum",
	"exclusiveMinimum",
	"maximum",
	"multipleOf",
	"minLength",
	"maxLength",
	"pattern",
	"properties",
	"required",
	"additionalProperties",
	"patternProperties",
	"propertyNames",
	"minProperties",
	"maxProperties",
	"items",
	"prefixItems",
	"minItems",
	"maxItems",
	"uniqueItems",
	"contains",
	"minContains",
	"maxContains",
	"anyOf",
	"allOf",
	"oneOf",
	"not",
	"if",
	"dependentRequired",
	"dependentSchemas",
	"$ref",
}

func schemas(depth int) *rapid.Generator[any] {
	return rapid.Custom(func(t *rapid.T) any {
		if rapid.IntRange(0, 9).Draw(t, "boolean") == 0 {
			return rapid.Bool().Draw(t, "value")
		}
		s := node{}
		for range rapid.IntRange(0, 3).Draw(t, "keywords") {
			word := rapid.SampledFrom(keywords).Draw(t, "keyword")
			if v := keyword(t, word, depth); v != nil {
				s[word] = v
			}
			if word == "if" && depth > 0 {
				s["then"], s["else"] = schemas(depth-1).Draw(t, "then"), schemas(depth-1).Draw(t, "else")
			}
		}
		return s
	})
}

func keyword(t *rapid.T, word string, depth int) any {
	few := rapid.IntRange(0, 3)
	names := rapid.SampledFrom([]string{"a", "b", "ab"})
	switch word {
	case "type":
		return rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"null", "boolean", "integer", "number", "string", "array", "object"}), 1, 5, rapid.ID).
			Draw(t, word)
	case "enum":
		return rapid.SliceOfN(values(1), 1, 4).Draw(t, word)
	case "const":
		return values(1).Draw(t, word)
	case "multipleOf":
		return rapid.SampledFrom([]any{1, 2, 0.5, 3}).Draw(t, word)
	case "pattern":
		return rapid.SampledFrom([]string{"a", "^a", "b$"}).Draw(t, word)
	case "required":
		return rapid.SliceOfNDistinct(names, 0, 3, rapid.ID).Draw(t, word)
	case "uniqueItems":
		return rapid.Bool().Draw(t, word)
	case "dependentRequired":
		return rapid.MapOfN(names, rapid.SliceOfNDistinct(names, 0, 2, rapid.ID), 0, 2).Draw(t, word)
	case "minimum",
		"exclusiveMinimum",
		"maximum",
		"minLength",
		"maxLength",
		"minProperties",
		"maxProperties",
		"minItems",
		"maxItems",
		"minContains",
		"maxContains":
		return few.Draw(t, word)
	}
	if depth == 0 {
		return nil
	}
	sub := schemas(depth - 1)
	switch word {
	case "$ref":
		return "#/$defs/d"
	case "properties", "dependentSchemas":
		return rapid.MapOfN(names, sub, 0, 3).Draw(t, word)
	case "patternProperties":
		return rapid.MapOfN(rapid.SampledFrom([]string{"^a", "b"}), sub, 0, 2).Draw(t, word)
	case "anyOf", "allOf", "oneOf", "prefixItems":
		return rapid.SliceOfN(sub, 1, 2).Draw(t, word)
	default: // additionalProperties, propertyNames, items, contains, not, if
		return sub.Draw(t, word)
	}
}

// change replaces, adds or drops a keyword somewhere: two schemas that have nothing to do with each other prove little.
func change(t *rapid.T, s any) any {
	m, ok := s.(node)
	if !ok || rapid.IntRange(0, 3).Draw(t, "whole") == 0 {
		return schemas(1).Draw(t, "other")
	}
	out := node{}
	for k, v := range m {
		out[k] = v
	}
	if len(m) > 0 && rapid.Bool().Draw(t, "inner") {
		for k, v := range m {
			switch v := v.(type) {
			case node:
				if k == "not" || k == "items" || k == "additionalProperties" || k == "contains" {
					out[k] = change(t, v)
				}
			case []any:
				if len(v) > 0 && (k == "anyOf" || k == "allOf" || k == "oneOf") {
					out[k] = append([]any{change(t, v[0])}, v[1:]...)
				}
			}
		}
		return out
	}
	word := rapid.SampledFrom(keywords).Draw(t, "changed")
	if v := keyword(t, word, 1); v != nil && rapid.IntRange(0, 2).Draw(t, "drop") > 0 {
		out[word] = v
	} else {
		delete(out, word)
	}
	return out
}

func text(t *rapid.T, x, d any) string {
	b, err := json.Marshal(node{"properties": node{"x": x}, "$defs": node{"d": d}})
	require.NoError(t, err)
	return string(b)
}

// TestBreakingIsSound: when no reason is given, no body fits the new schema and not the old one.
func TestBreakingIsSound(t *testing.T) {
	t.Parallel()
	compatible := 0
	rapid.Check(t, func(t *rapid.T) {
		// what the definition says goes into the body before it comes back to itself
		inner := node{"properties": node{"a": schemas(1).Draw(t, "definition")}}
		old := schemas(2).Draw(t, "old")
		changed := change(t, old)
		innerChanged := inner
		if rapid.IntRange(0, 3).Draw(t, "changes_definition") == 0 {
			innerChanged = node{"properties": node{"a": schemas(1).Draw(t, "new definition")}}
		}
		o, err := eventschema.Compile([]byte(text(t, old, inner)))
		if err != nil {
			t.Skip(err)
		}
		n, err := eventschema.Compile([]byte(text(t, changed, innerChanged)))
		if err != nil {
			t.Skip(err)
		}
		reasons, err := eventschema.Breaking(o, n)
		require.NoError(t, err)
		if len(reasons) > 0 {
			return
		}
		compatible++
		for range 40 {
			body, err := json.Marshal(node{"x": values(2).Draw(t, "x")})
			require.NoError(t, err)
			if n.Validate(body) == nil {
				require.NoError(t, o.Validate(body), "%s fits the new schema", body)
			}
		}
	})
	require.NotZero(t, compatible, "some are compatible, or nothing was tested")
}

// TestBreakingKnowsItself: a schema is compatible with itself, as long as it can be compared at all.
func TestBreakingKnowsItself(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := schemas(2).Draw(t, "schema")
		d := node{"properties": node{"a": schemas(1).Draw(t, "definition")}}
		text := text(t, s, d)
		if _, err := eventschema.Compile([]byte(text)); err != nil {
			t.Skip(err)
		}
		require.Empty(t, breaking(t, text, text[:len(text)-1]+`,"title":"other"}`))
	})
}
