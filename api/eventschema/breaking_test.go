package eventschema_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"greenroom/api/eventschema"
)

// TestBreaking compares schemas of one property, x, unless a case has whole ones. want: the path and a part of the
// reason; none: compatible.
func TestBreaking(t *testing.T) {
	t.Parallel()
	type schemas struct{ old, new, path, reason string }
	for name, c := range map[string]schemas{
		"nothing_changed":         {`{"type":"string"}`, `{"type":"string","description":"words"}`, "", ""},
		"anything":                {`{}`, `{"type":"string"}`, "", ""},
		"type_narrowed":           {`{"type":["string","null"]}`, `{"type":"string"}`, "", ""},
		"type_widened":            {`{"type":"string"}`, `{"type":["string","null"]}`, "/x", "may now be null; it was text"},
		"type_changed":            {`{"type":"string"}`, `{"type":"integer"}`, "/x", "may now be a whole number; it was text"},
		"type_dropped":            {`{"type":"string"}`, `{}`, "/x", "may now be an object or an array or a number or true or false or null; it was text"},
		"integer_of_number":       {`{"type":"number"}`, `{"type":"integer"}`, "", ""},
		"number_of_integer":       {`{"type":"integer"}`, `{"type":"number"}`, "/x", "may now be a number; it was a whole number"},
		"enum_narrowed":           {`{"enum":["a","b"]}`, `{"enum":["b"]}`, "", ""},
		"enum_widened":            {`{"enum":["a","b"]}`, `{"enum":["a","b","c"]}`, "/x", `may now be "c"`},
		"enum_dropped":            {`{"enum":["a","b"]}`, `{"type":"string"}`, "/x", "other values"},
		"enum_into_type":          {`{"type":"string"}`, `{"enum":["a","b"]}`, "", ""},
		"enum_of_other_type":      {`{"type":"string"}`, `{"enum":["a",1]}`, "/x", "may now be 1"},
		"enum_under_type":         {`{"type":"string"}`, `{"type":"string","enum":["a",1]}`, "", ""},
		"const_same":              {`{"const":1}`, `{"const":1.0}`, "", ""},
		"const_changed":           {`{"const":1}`, `{"const":2}`, "/x", "may now be 2"},
		"const_of_enum":           {`{"enum":[1,2]}`, `{"const":2}`, "", ""},
		"boolean_is_two_values":   {`{"enum":[true,false]}`, `{"type":"boolean"}`, "", ""},
		"format_kept":             {`{"format":"email"}`, `{"format":"email","maxLength":9}`, "", ""},
		"format_dropped":          {`{"type":"string","format":"email"}`, `{"type":"string"}`, "/x", "valid email"},
		"format_changed":          {`{"type":"string","format":"date"}`, `{"type":"string","format":"date-time"}`, "/x", "valid date"},
		"unknown_format_dropped":  {`{"type":"string","format":"iban"}`, `{"type":"string"}`, "/x", "valid iban"},
		"pattern_kept":            {`{"pattern":"^a"}`, `{"pattern":"^a","minLength":2}`, "", ""},
		"pattern_changed":         {`{"type":"string","pattern":"^a"}`, `{"type":"string","pattern":"^[ab]"}`, "/x", "pattern ^a"},
		"pattern_of_no_text":      {`{"pattern":"^a"}`, `{"type":"integer"}`, "", ""},
		"lengths_tightened":       {`{"minLength":2,"maxLength":9}`, `{"minLength":3,"maxLength":8}`, "", ""},
		"min_length_loosened":     {`{"minLength":2}`, `{"minLength":1}`, "/x", "fewer than 2 characters"},
		"max_length_loosened":     {`{"maxLength":2}`, `{"maxLength":3}`, "/x", "more than 2 characters"},
		"max_length_dropped":      {`{"maxLength":2}`, `{}`, "/x", "more than 2 characters"},
		"minimum_raised":          {`{"minimum":2}`, `{"minimum":3}`, "", ""},
		"minimum_exclusive":       {`{"minimum":2}`, `{"exclusiveMinimum":2}`, "", ""},
		"minimum_inclusive":       {`{"exclusiveMinimum":2}`, `{"minimum":2}`, "/x", "less than before (2)"},
		"minimum_lowered":         {`{"minimum":2}`, `{"minimum":1.5}`, "/x", "less than before (2)"},
		"maximum_raised":          {`{"maximum":2}`, `{"maximum":3}`, "/x", "greater than before (2)"},
		"maximum_dropped":         {`{"type":"integer","maximum":2}`, `{"type":"integer"}`, "/x", "greater than before (2)"},
		"multiple_of_multiple":    {`{"multipleOf":5}`, `{"multipleOf":10}`, "", ""},
		"multiple_of_less":        {`{"multipleOf":10}`, `{"multipleOf":5}`, "/x", "multiple of 10"},
		"multiple_of_whole":       {`{"type":"number","multipleOf":1}`, `{"type":"integer"}`, "", ""},
		"items_changed":           {`{"items":{"type":"string"}}`, `{"items":{"type":"integer"}}`, "/x/*", "it was text"},
		"items_dropped":           {`{"items":{"type":"string"}}`, `{}`, "/x/*", "it was text"},
		"items_narrowed":          {`{"items":{"type":"string"}}`, `{"items":{"const":"a"}}`, "", ""},
		"item_counts_loosened":    {`{"minItems":1,"maxItems":2}`, `{"minItems":0,"maxItems":2}`, "/x", "fewer than 1 elements"},
		"unique_dropped":          {`{"uniqueItems":true}`, `{"type":"array"}`, "/x", "element twice"},
		"unique_of_one":           {`{"uniqueItems":true}`, `{"maxItems":1}`, "", ""},
		"prefix_changed":          {`{"prefixItems":[{"type":"string"},{}]}`, `{"prefixItems":[{},{}]}`, "/x/0", "it was text"},
		"prefix_out_of_items":     {`{"items":{"type":"string"}}`, `{"prefixItems":[{"type":"integer"}],"items":{"type":"string"}}`, "/x/0", "it was text"},
		"prefix_by_items":         {`{"prefixItems":[{"type":"string"}]}`, `{"items":{"type":"string"}}`, "", ""},
		"tuple_opened":            {`{"prefixItems":[{}],"items":false}`, `{"prefixItems":[{}]}`, "/x/*", "nothing was allowed"},
		"tuple_shortened":         {`{"prefixItems":[{},{}],"items":false}`, `{"prefixItems":[{}],"items":false}`, "", ""},
		"contains_kept":           {`{"contains":{"type":"string"}}`, `{"contains":{"const":"a"},"minContains":2}`, "", ""},
		"contains_dropped":        {`{"contains":{"type":"string"}}`, `{"type":"array"}`, "/x", "contain"},
		"contains_fewer":          {`{"contains":{"type":"string"},"minContains":2}`, `{"contains":{"type":"string"}}`, "/x", "contain"},
		"max_contains":            {`{"contains":{"type":"string"},"maxContains":2}`, `{"contains":{"const":"a"},"maxContains":2}`, "/x", "contain"},
		"not_kept":                {`{"not":{"type":"null"}}`, `{"not":{"type":["null","string"]}}`, "", ""},
		"not_weaker":              {`{"not":{"type":["null","string"]}}`, `{"not":{"type":"null"}}`, "/x", "excluded"},
		"any_of_fewer":            {`{"anyOf":[{"type":"string"},{"type":"integer"}]}`, `{"anyOf":[{"type":"integer"}]}`, "", ""},
		"any_of_reordered":        {`{"anyOf":[{"type":"string"},{"type":"integer"}]}`, `{"anyOf":[{"type":"integer"},{"type":"string"}]}`, "", ""},
		"any_of_more":             {`{"anyOf":[{"type":"string"}]}`, `{"anyOf":[{"type":"string"},{"type":"null"}]}`, "/x", "anyOf"},
		"any_of_one":              {`{"anyOf":[{"type":"string"},{"type":"integer"}]}`, `{"type":"string","minLength":4}`, "", ""},
		"types_as_any_of":         {`{"type":["string","integer","null"]}`, `{"anyOf":[{"type":"string"},{"type":"integer"}]}`, "", ""},
		"one_of_reordered":        {`{"oneOf":[{"type":"string"},{"type":"integer"}]}`, `{"oneOf":[{"type":"integer"},{"type":"string"}]}`, "", ""},
		"one_of_more":             {`{"oneOf":[{"type":"string"}]}`, `{"oneOf":[{"type":"string"},{"type":"null"}]}`, "/x", "oneOf"},
		"all_of_split":            {`{"type":"string","maxLength":3}`, `{"allOf":[{"type":"string"},{"maxLength":3}]}`, "", ""},
		"all_of_part_dropped":     {`{"allOf":[{"type":"string"},{"maxLength":3}]}`, `{"allOf":[{"type":"string"}]}`, "/x", "more than 3"},
		"condition_kept":          {`{"if":{"const":1},"then":{"minimum":3}}`, `{"if":{"const":1},"then":{"minimum":4}}`, "", ""},
		"condition_dropped":       {`{"if":{"type":"string"},"then":{"minLength":3}}`, `{}`, "/x", "condition"},
		"condition_for_all":       {`{"if":{"type":"string"},"then":{"minLength":3}}`, `{"minLength":3}`, "", ""},
		"required_kept":           {`{"required":["a"]}`, `{"required":["a","b"]}`, "", ""},
		"required_dropped":        {`{"properties":{"a":{}},"required":["a"]}`, `{"properties":{"a":{}}}`, "/x/a", "may now be missing; it was required"},
		"property_removed":        {`{"properties":{"a":{"type":"string"}}}`, `{}`, "/x/a", "not described any more"},
		"property_removed_closed": {`{"properties":{"a":{}},"additionalProperties":false}`, `{"additionalProperties":false}`, "/x/a", "not described any more"},
		"property_added":          {`{"properties":{"a":{}}}`, `{"properties":{"a":{},"b":{"type":"string"}}}`, "", ""},
		"property_added_closed":   {`{"properties":{"a":{}},"additionalProperties":false}`, `{"properties":{"a":{},"b":{}},"additionalProperties":false}`, "/x/b", "nothing was allowed"},
		"property_as_others_were": {`{"additionalProperties":{"type":"string"}}`, `{"properties":{"b":{"const":"c"}},"additionalProperties":{"type":"string"}}`, "", ""},
		"property_unlike_others":  {`{"additionalProperties":{"type":"string"}}`, `{"properties":{"b":{"const":1}},"additionalProperties":{"type":"string"}}`, "/x/b", "may now be 1"},
		"opened":                  {`{"additionalProperties":false}`, `{}`, "/x/*", "nothing was allowed"},
		"closed":                  {`{}`, `{"additionalProperties":false}`, "", ""},
		"others_widened":          {`{"additionalProperties":{"type":"string"}}`, `{"additionalProperties":{"type":["string","null"]}}`, "/x/*", "may now be null"},
		"pattern_properties":      {`{"patternProperties":{"^a":{"type":"string"}}}`, `{"patternProperties":{"^a":{"type":"string"}}}`, "", ""},
		"pattern_dropped":         {`{"patternProperties":{"^a":{"type":"string"}}}`, `{}`, "/x/*", "^a"},
		"pattern_by_names":        {`{"patternProperties":{"^a":{"type":"string"}}}`, `{"properties":{"ab":{"type":"string"},"b":{}},"additionalProperties":false}`, "", ""},
		"pattern_against_names":   {`{"patternProperties":{"^a":{"type":"string"}}}`, `{"properties":{"ab":{"type":"null"}},"additionalProperties":false}`, "/x/ab", "may now be null"},
		"names_kept":              {`{"propertyNames":{"maxLength":3}}`, `{"propertyNames":{"maxLength":2}}`, "", ""},
		"names_dropped":           {`{"propertyNames":{"maxLength":3}}`, `{}`, "/x", "propertyNames"},
		"names_by_closing":        {`{"propertyNames":{"maxLength":3}}`, `{"properties":{"abc":{}},"additionalProperties":false}`, "", ""},
		"counts_by_required":      {`{"minProperties":2}`, `{"required":["a","b"]}`, "", ""},
		"counts_dropped":          {`{"maxProperties":2}`, `{}`, "/x", "more than 2 properties"},
		"dependent_kept":          {`{"dependentRequired":{"a":["b"]}}`, `{"required":["b"]}`, "", ""},
		"dependent_dropped":       {`{"dependentRequired":{"a":["b"]}}`, `{}`, "/x/b", `where "a" is there`},
		"dependent_schema":        {`{"dependentSchemas":{"a":{"required":["b"]}}}`, `{"dependentSchemas":{"a":{"required":["b","c"]}}}`, "", ""},
		"dependent_schema_gone":   {`{"dependentSchemas":{"a":{"required":["b"]}}}`, `{}`, "/x", `where "a" is there`},
		"unevaluated":             {`{"unevaluatedProperties":false}`, `{"unevaluatedProperties":false,"maxProperties":3}`, "/x", "cannot be compared"},
		"escaped":                 {`{"properties":{"a/b":{}},"required":["a/b"]}`, `{"properties":{"a/b":{}}}`, "/x/a~1b", "missing"},
	} {
		t.Run(name, func(t *testing.T) {
			reasons := breaking(t, `{"properties":{"x":`+c.old+`}}`, `{"properties":{"x":`+c.new+`}}`)
			if c.reason == "" {
				require.Empty(t, reasons)
				return
			}
			require.NotEmpty(t, reasons)
			require.Equal(t, c.path, reasons[0].Path, reasons)
			require.Contains(t, reasons[0].Message, c.reason)
		})
	}
}

func breaking(
	t require.TestingT,
	old, new string,
) []eventschema.Fault { //nolint:predeclared // the two schemas are called so
	reasons, err := eventschema.Breaking(compile(t, old), compile(t, new))
	require.NoError(t, err)
	return reasons
}

func TestBreakingFollowsReferences(t *testing.T) {
	t.Parallel()
	const tree = `{"type":"object","properties":{"value":{"$ref":"#/$defs/value"},"children":{"type":"array","items":{"$ref":"#"}}},"$defs":{"value":%s}}`
	require.Empty(t, breaking(t, fmt.Sprintf(tree, `{"type":"number"}`), fmt.Sprintf(tree, `{"type":"integer"}`)))
	reasons := breaking(t, fmt.Sprintf(tree, `{"type":"integer"}`), fmt.Sprintf(tree, `{"type":"number"}`))
	require.Equal(t, []eventschema.Fault{{Path: "/value", Message: "may now be a number; it was a whole number"}}, reasons)
	require.Empty(
		t,
		breaking(
			t,
			`{"properties":{"a":{"$ref":"#/$defs/x"}},"$defs":{"x":{"type":"string"}}}`,
			`{"properties":{"a":{"type":"string"}}}`,
		),
		"a definition in place says the same",
	)
	t.Run("negated_recursion", func(t *testing.T) {
		// a list whose rest is not a list: widening it narrows its rest, so neither direction holds
		const list = `{"type":"object","properties":{"v":{"type":%s},"rest":{"not":{"$ref":"#"}}}}`
		require.NotEmpty(t, breaking(t, fmt.Sprintf(list, `"integer"`), fmt.Sprintf(list, `"number"`)))
		require.NotEmpty(t, breaking(t, fmt.Sprintf(list, `"number"`), fmt.Sprintf(list, `"integer"`)))
	})
	t.Run("dynamic", func(t *testing.T) {
		require.NotEmpty(
			t,
			breaking(
				t,
				`{"properties":{"a":{"$dynamicRef":"#"}}}`,
				`{"properties":{"a":{"$dynamicRef":"#"}},"maxProperties":3}`,
			),
		)
	})
}

func TestBreakingNamesAllReasons(t *testing.T) {
	t.Parallel()
	reasons := breaking(
		t,
		order,
		strings.NewReplacer(`"required": ["id", "total", "lines"]`, `"required": ["id"]`, `"maxLength": 4`, `"maxLength": 5`).
			Replace(order),
	)
	require.Equal(t, []eventschema.Fault{
		{Path: "/lines", Message: "may now be missing; it was required"},
		{Path: "/lines/*/sku", Message: "may now have more than 4 characters"},
		{Path: "/total", Message: "may now be missing; it was required"},
	}, reasons)
}

func TestBreakingIsBounded(t *testing.T) {
	t.Parallel()
	alternatives := func(n int, last string) string {
		var all strings.Builder
		for i := range n {
			fmt.Fprintf(&all, `{"anyOf":[{"required":["a%d"]},{"required":["b%d"]},{"required":["c%d"]}]},`, i, i, i)
		}
		return `{"allOf":[` + all.String() + last + `]}`
	}
	reasons := breaking(t, alternatives(30, `{"minProperties":31}`), alternatives(30, `{"minProperties":30}`))
	require.Equal(t, []eventschema.Fault{{Message: "the two schemas are too complicated to compare"}}, reasons)
}

// TestComparisonIsBounded: what would take minutes to compare is called breaking instead.
func TestComparisonIsBounded(t *testing.T) {
	t.Parallel()
	long := `{"properties":{"x":{}` + repeated(
		3,
		`,"%d`+strings.Repeat("a", 18_000)+`":{}`,
	) + `},"patternProperties":{"^x$":{}` + repeated(
		5,
		`,"(((a|b){30}){30})?c%d$":{}`,
	)
	many := `{"properties":{"a":{}` + repeated(
		1200,
		`,"a%d":{}`,
	) + `},"patternProperties":{"^x$":{}` + repeated(
		1200,
		`,"b%d$":{}`,
	)
	all := `{"$defs":{"d":{"allOf":[{"title":"x"}` + repeated(
		1500,
		`,{"title":"%d"}`,
	) + `]}},"properties":{"a":{}` + repeated(
		700,
		`,"a%d":{"$ref":"#/$defs/d"}`,
	) + `}`
	doubled := `{"properties":{"x":{"$ref":"#/$defs/d"}},"$defs":{"d":{"anyOf":[
		{"type":"array","items":{"$ref":"#/$defs/d"},"minItems":1},{"type":"array","items":{"$ref":"#/$defs/d"},"minItems":1}]}}}`
	deep := strings.Repeat("[", 25) + "%d" + strings.Repeat("]", 25)
	const gaveUp = "the two schemas are too complicated to compare"
	for name, c := range map[string][3]string{
		"long_names_and_large_expressions": {gaveUp, long + `}}`, long + `},"title":"new"}`},
		"many_names_and_expressions":       {gaveUp, many + `}}`, many + `},"title":"new"}`},
		"long_conjunctions":                {gaveUp, all + `}`, all + `,"title":"new"}`},
		"values_that_are_slow_to_check":    {"may now be the array that the schema names, which was not allowed", doubled, `{"properties":{"x":{"enum":[` + fmt.Sprintf(deep, 0) + repeated(150, ","+deep) + `]}}}`},
	} {
		t.Run(name, func(t *testing.T) {
			reasons := breaking(t, c[1], c[2])
			require.NotEmpty(t, reasons)
			require.Equal(t, c[0], reasons[0].Message)
		})
	}
	require.Empty(
		t,
		breaking(t, `{"properties":{"a":{}}}`, `{"properties":{"a":{"type":"string"}}}`),
		"and the next comparison begins anew",
	)
}
