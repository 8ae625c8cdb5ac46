package eventschema_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"greenroom/api/eventschema"
)

func TestCompileRefusesHostileSchemas(t *testing.T) {
	t.Parallel()
	ring := `{"$ref":"#/$defs/n0","$defs":{"n0":{"$ref":"#/$defs/n1"}`
	for i := 1; i < 500; i++ {
		ring += fmt.Sprintf(`,"n%d":{"$ref":"#/$defs/n%d"}`, i, (i+1)%500)
	}
	for name, c := range map[string]struct{ schema, path, message string }{
		"refers_to_itself":    {`{"$ref":"#"}`, "", "must not refer to itself"},
		"ring_of_many":        {ring + `}}`, "/$defs/n0", "must not refer to itself"},
		"itself_by_not":       {`{"not":{"$ref":"#"}}`, "", "must not refer to itself"},
		"itself_by_if":        {`{"if":{"$ref":"#"}}`, "", "must not refer to itself"},
		"itself_by_then":      {`{"if":{},"then":{"$ref":"#"}}`, "", "must not refer to itself"},
		"itself_by_any_of":    {`{"anyOf":[{},{"oneOf":[{"$ref":"#"}]}]}`, "", "must not refer to itself"},
		"itself_by_dependent": {`{"dependentSchemas":{"a":{"$ref":"#"}}}`, "", "must not refer to itself"},
		"itself_by_dynamic":   {`{"$dynamicAnchor":"a","allOf":[{"$dynamicRef":"#a"}]}`, "", "must not refer to itself"},
		"missing_part":        {`{"$ref":"#/$defs/none"}`, "", "this schema does not have"},
		"file": {
			`{"properties":{"a":{"$ref":"file:///etc/passwd"}}}`, "/properties/a/$ref", "nothing is loaded",
		},
		"metadata_service": {
			`{"allOf":[{"$ref":"http://169.254.169.254/latest"}]}`, "/allOf/0/$ref", "nothing is loaded",
		},
		"relative": {`{"properties":{"a/b":{"$ref":"other.json"}}}`, "/properties/a~1b/$ref", "nothing is loaded"},
		"dynamic_outside": {
			`{"properties":{"a":{"$dynamicRef":"http://x.test/#a"}}}`, "/properties/a/$dynamicRef", "nothing is loaded",
		},
		"old_draft":    {`{"$schema":"http://json-schema.org/draft-07/schema#"}`, "/$schema", "2020-12"},
		"backtracking": {`{"properties":{"a":{"pattern":"(a)\\1"}}}`, "/properties/a/pattern", "RE2"},
		"lookahead":    {`{"patternProperties":{"(?=a)":{}}}`, "", ""},
		"long_pattern": {
			`{"properties":{"a":{"pattern":"` + strings.Repeat("a", 501) + `"}}}`, "/properties/a/pattern", "500",
		},
		"huge_repetition": {`{"properties":{"a":{"pattern":"a{1001}"}}}`, "/properties/a/pattern", "RE2"},
		"name_twice":      {`{"type":"object","type":"string"}`, "/type", "once"},
		"two_values":      {`{} {}`, "", "one JSON value"},
		"unfinished":      {`{"a":`, "/a", "valid JSON"},
		"true":            {`true`, "", "must be an object"},
		"null":            {`null`, "", "must be an object"},
		"no_object":       {`{"type":["string","array"]}`, "/type", "must allow an object"},
		"no_object_by_ref": {
			`{"$ref":"#/$defs/a","$defs":{"a":{"allOf":[{"type":"string"}]}}}`, "/type", "must allow an object",
		},
		"huge_bound":    {`{"minimum":1e401}`, "/minimum", "exponent"},
		"tiny_multiple": {`{"multipleOf":1e-401}`, "/multipleOf", "exponent"},
		"long_number":   {`{"minimum":1` + strings.Repeat("0", 400) + `}`, "/minimum", "400 digits"},
		"zero_multiple": {`{"multipleOf":0}`, "/multipleOf", "must be greater than 0"},
		"negative_size": {`{"maxItems":-1}`, "/maxItems", "must be at least 0"},
		"unknown_type":  {`{"type":"text"}`, "/type", "must fit one of the alternatives"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := eventschema.Compile([]byte(c.schema))
			f := fault(t, err)
			require.Contains(t, f.Message, c.message)
			if c.message != "" {
				require.Equal(t, c.path, f.Path, f.Message)
			}
		})
	}
}

// Each limit holds at its value and not above it.
func TestLimitsAtTheirValues(t *testing.T) {
	t.Parallel()
	padded := func(n int) string { return `{"title":"` + strings.Repeat("a", n-len(`{"title":""}`)) + `"}` }
	nested := func(n int) string {
		return `{"default":` + strings.Repeat("[", n-1) + strings.Repeat("]", n-1) + `}`
	}
	values := func(n int) string { return `{"default":[0` + strings.Repeat(",0", n-3) + `]}` }
	pattern := func(n int) string { return `{"properties":{"a":{"pattern":"` + strings.Repeat("a", n) + `"}}}` }
	for name, c := range map[string]struct {
		schema func(int) string
		limit  int
	}{
		"bytes":   {padded, eventschema.MaxSize},
		"nesting": {nested, 64},
		"values":  {values, 5000},
		"pattern": {pattern, 500},
	} {
		_, err := eventschema.Compile([]byte(c.schema(c.limit)))
		require.NoError(t, err, name)
		_, err = eventschema.Compile([]byte(c.schema(c.limit + 1)))
		require.Contains(t, fault(t, err).Message, fmt.Sprint(c.limit), name)
	}
	t.Run("of_a_body", func(t *testing.T) {
		t.Parallel()
		s := compile(t, `{}`)
		unique := compile(t, `{"properties":{"x":{"uniqueItems":true}}}`)
		deep := func(n int) []byte { return []byte(`{"x":` + strings.Repeat("[", n-1) + strings.Repeat("]", n-1) + `}`) }
		many := func(n int) []byte { return []byte(`{"x":[0` + repeated(n-1, `,1%d`) + `]}`) }
		require.NoError(t, s.Validate(deep(200)))
		require.Contains(t, fault(t, s.Validate(deep(201))).Message, "200 deep")
		require.NoError(t, unique.Validate(many(2000)))
		require.Contains(t, fault(t, unique.Validate(many(2001))).Message, "2000 elements")
		require.NoError(t, s.Validate(many(2001)), "without unique elements there is no limit")
		require.NoError(t, s.Validate([]byte(`{"x":1e400,"y":1E-400,"z":-`+strings.Repeat("9", 399)+`}`)))
		for _, number := range []string{"1e401", "1E-401", "1e99999999999999999999", strings.Repeat("9", 401)} {
			require.Equal(t, "/x", fault(t, s.Validate([]byte(`{"x":`+number+`}`))).Path, number)
		}
	})
}

func TestValidateMessages(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("é", 300)
	for name, c := range map[string]struct{ schema, value, message string }{
		"exclusive_minimum": {`{"exclusiveMinimum":0.5}`, `0.5`, "must be greater than 0.5"},
		"maximum":           {`{"maximum":-1}`, `0`, "must be at most -1"},
		"min_length":        {`{"minLength":2}`, `"é"`, "must have at least 2 characters"},
		"min_properties":    {`{"minProperties":1}`, `{}`, "must have at least 1 properties"},
		"min_contains":      {`{"contains":{"const":1},"minContains":2}`, `[1,2]`, "must have at least 2 elements that fit"},
		"max_contains":      {`{"contains":{"const":1},"maxContains":1}`, `[1,1]`, "must have at most 1 elements that fit"},
		"false":             {`false`, `null`, "must not be here"},
		"const_null":        {`{"const":null}`, `0`, "must be null"},
		"const_object":      {`{"const":{"a":1}}`, `0`, "must be the object that the schema names"},
		"const_array":       {`{"const":[1]}`, `0`, "must be the array that the schema names"},
		"const_number":      {`{"const":1.50}`, `0`, "must be 1.50"},
		"types":             {`{"type":["null","boolean"]}`, `0`, "must be "},
		"regex":             {`{"format":"regex"}`, `"("`, "must be a regular expression of at most 500 characters"},
		"clipped":           {`{"const":"` + long + `"}`, `0`, strings.Repeat("é", 199) + "…"},
		"dependencies":      {`{"dependentRequired":{"a":["b"]}}`, `{"a":1}`, `is required where "a" is`},
		"unevaluated_items": {`{"prefixItems":[true],"unevaluatedItems":false}`, `[1,2]`, "must not be here"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := compile(t, `{"properties":{"x":`+c.schema+`}}`)
			require.Contains(t, fault(t, s.Validate([]byte(`{"x":`+c.value+`}`))).Message, c.message)
		})
	}
}

// Breaking lists at most 50 reasons, sorted by their places.
func TestBreakingClipsItsReasons(t *testing.T) {
	t.Parallel()
	old := `{"properties":{"p":{}` + repeated(80, `,"a%03d":{"type":"string"}`) + `}}`
	reasons := breaking(t, old, strings.ReplaceAll(old, `"string"`, `"null"`))
	require.Len(t, reasons, 50)
	for i, r := range reasons {
		require.Equal(t, fmt.Sprintf("/a%03d", i), r.Path)
	}
}
