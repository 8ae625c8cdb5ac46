package eventschema_test

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"greenroom/api/eventschema"
)

func compile(t require.TestingT, text string) *eventschema.Schema {
	s, err := eventschema.Compile([]byte(text))
	require.NoError(t, err, text)
	return s
}

// fault requires that err is a fault.
func fault(t *testing.T, err error) *eventschema.Fault {
	t.Helper()
	var f *eventschema.Fault
	require.ErrorAs(t, err, &f)
	return f
}

func TestCompileRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ schema, path, message string }{
		"no_json":           {`{"type":`, "/type", "must be valid JSON"},
		"two_values":        {`{} {}`, "", "must be one JSON value"},
		"boolean":           {`true`, "", "must be an object"},
		"unknown_type":      {`{"properties":{"a":{"type":"text"}}}`, "/properties/a/type", "must be one of"},
		"bad_required":      {`{"required":"a"}`, "/required", "must be an array"},
		"negative_length":   {`{"properties":{"a":{"minLength":-1}}}`, "/properties/a/minLength", "must be at least 0"},
		"draft_07":          {`{"$schema":"http://json-schema.org/draft-07/schema#"}`, "/$schema", "must be https://json-schema.org/draft/2020-12/schema"},
		"unknown_dialect":   {`{"$schema":"https://example.com/dialect"}`, "/$schema", "must be https"},
		"mixed_drafts":      {`{"properties":{"a":{"$id":"urn:a","$schema":"http://json-schema.org/draft-07/schema#"}}}`, "/properties/a", "2020-12"},
		"remote_ref":        {`{"properties":{"a":{"$ref":"https://example.com/a.json"}}}`, "/properties/a/$ref", "nothing is loaded"},
		"file_ref":          {`{"properties":{"a":{"$ref":"file:///etc/hostname"}}}`, "/properties/a/$ref", "nothing is loaded"},
		"relative_ref":      {`{"properties":{"a":{"$ref":"other.json"}}}`, "/properties/a/$ref", "nothing is loaded"},
		"missing_ref":       {`{"properties":{"a":{"$ref":"#/$defs/a"}}}`, "", "does not have"},
		"missing_anchor":    {`{"properties":{"a":{"$ref":"#there"}}}`, "", "does not have"},
		"pattern":           {`{"properties":{"a":{"pattern":"("}}}`, "/properties/a/pattern", "regular expression"},
		"look_ahead":        {`{"properties":{"a":{"pattern":"(?=a)"}}}`, "/properties/a/pattern", "RE2"},
		"long_pattern":      {`{"properties":{"a":{"pattern":"` + strings.Repeat("a", 501) + `"}}}`, "/properties/a/pattern", "500"},
		"circle":            {`{"$ref":"#"}`, "", "itself"},
		"circle_of_two":     {`{"$defs":{"a":{"$ref":"#/$defs/b"},"b":{"anyOf":[{"$ref":"#/$defs/a"}]}},"properties":{"x":{"$ref":"#/$defs/a"}}}`, "/$defs/a", "itself"},
		"no_object":         {`{"type":"string"}`, "/type", "must allow an object"},
		"no_object_by_ref":  {`{"$ref":"#/$defs/a","$defs":{"a":{"type":["string","null"]}}}`, "/type", "must allow an object"},
		"large":             {`{"description":"` + strings.Repeat("a", eventschema.MaxSize) + `"}`, "", "65536 bytes"},
		"deep":              {strings.Repeat(`{"not":`, 70) + `{}` + strings.Repeat(`}`, 70), "", "64 deep"},
		"many_values":       {`{"anyOf":[{}` + strings.Repeat(`,{}`, 6000) + `]}`, "", "5000 values"},
		"huge_number":       {`{"properties":{"a":{"minimum":1e1000000}}}`, "/properties/a/minimum", "exponent"},
		"property_twice":    {`{"properties":{"a":{"type":"string","type":"number"}}}`, "/properties/a/type", "once"},
		"multiple_of_zero":  {`{"properties":{"a":{"multipleOf":0}}}`, "/properties/a/multipleOf", "greater than 0"},
		"bad_unused_schema": {`{"$defs":{"a":{"type":1}}}`, "/$defs/a/type", "alternatives"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := eventschema.Compile([]byte(c.schema))
			f := fault(t, err)
			require.Equal(t, c.path, f.Path, f.Message)
			require.Contains(t, f.Message, c.message)
		})
	}
}

func TestCompileTakes(t *testing.T) {
	t.Parallel()
	for name, schema := range map[string]string{
		"empty":              `{}`,
		"dialect":            `{"$schema":"https://json-schema.org/draft/2020-12/schema","$id":"https://example.com/order","type":"object"}`,
		"own_id":             `{"$id":"https://example.com/order","$defs":{"a":{"type":"string"}},"properties":{"a":{"$ref":"https://example.com/order#/$defs/a"}}}`,
		"anchor":             `{"$defs":{"a":{"$anchor":"here"}},"properties":{"a":{"$ref":"#here"}}}`,
		"tree":               `{"properties":{"left":{"$ref":"#"},"right":{"$ref":"#"}}}`,
		"tree_by_allOf":      `{"allOf":[{"properties":{"left":{"$ref":"#"}}}]}`,
		"unknown_format":     `{"properties":{"a":{"format":"iban"}}}`,
		"unknown_keyword":    `{"x-owner":"billing"}`,
		"property_named_ref": `{"properties":{"$ref":{"type":"string"},"format":{"type":"string"}}}`,
	} {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, compile(t, schema).Validate([]byte(`{}`)))
		})
	}
}

const order = `{
  "type": "object", "required": ["id", "total", "lines"],
  "properties": {
    "id": {"type": "string", "pattern": "^o-[0-9]+$"},
    "total": {"$ref": "#/$defs/money"},
    "state": {"enum": ["open", "shipped", null]},
    "kind": {"const": "order"},
    "at": {"type": "string", "format": "date-time"},
    "lines": {"type": "array", "minItems": 1, "maxItems": 3, "uniqueItems": true, "items": {"$ref": "#/$defs/line"}},
    "to": {"anyOf": [{"type": "string", "minLength": 3}, {"type": "object", "required": ["street"], "properties": {"street": {"type": "string"}}}]},
    "pay": {"oneOf": [{"type": "integer"}, {"type": "number"}]},
    "tags": {"contains": {"const": "x"}},
    "note": {"not": {"type": "number"}},
    "map": {"propertyNames": {"maxLength": 2}, "maxProperties": 1},
    "a/b~c": {"type": "null"}
  },
  "dependentRequired": {"kind": ["at"]},
  "patternProperties": {"^x-": {"type": "boolean"}},
  "additionalProperties": false,
  "$defs": {
    "money": {"type": "object", "required": ["value"], "properties": {"value": {"type": "integer", "minimum": 0, "exclusiveMaximum": 1000, "multipleOf": 5}}},
    "line": {"type": "object", "required": ["sku"], "properties": {"sku": {"type": "string", "maxLength": 4}}}
  }
}`

func TestValidate(t *testing.T) {
	t.Parallel()
	s := compile(t, order)
	const good = `"id":"o-1","total":{"value":5},"lines":[{"sku":"a"}]`
	for name, c := range map[string]struct{ body, path, message string }{
		"fits":              {`{` + good + `}`, "", ""},
		"all_fits":          {`{` + good + `,"state":null,"kind":"order","at":"2026-01-02T03:04:05Z","to":{"street":"x"},"pay":1.5,"tags":["x"],"note":"n","map":{"ab":1},"a/b~c":null,"x-y":true}`, "", ""},
		"no_json":           {`{`, "", "must be valid JSON"},
		"array":             {`[]`, "", "must be an object"},
		"required":          {`{"id":"o-1","total":{"value":5}}`, "/lines", "is required"},
		"required_deeper":   {`{"id":"o-1","total":{},"lines":[{}]}`, "/lines/0/sku", "is required"},
		"type":              {`{"id":1,"total":{"value":5},"lines":[{"sku":"a"}]}`, "/id", "must be text"},
		"whole_number":      {`{"id":"o-1","total":{"value":5.5},"lines":[{"sku":"a"}]}`, "/total/value", "must be a whole number"},
		"pattern":           {`{"id":"x","total":{"value":5},"lines":[{"sku":"a"}]}`, "/id", "must match the pattern ^o-[0-9]+$"},
		"minimum":           {`{"id":"o-1","total":{"value":-5},"lines":[{"sku":"a"}]}`, "/total/value", "must be at least 0"},
		"maximum":           {`{"id":"o-1","total":{"value":1000},"lines":[{"sku":"a"}]}`, "/total/value", "must be less than 1000"},
		"multiple":          {`{"id":"o-1","total":{"value":7},"lines":[{"sku":"a"}]}`, "/total/value", "must be a multiple of 5"},
		"min_items":         {`{"id":"o-1","total":{"value":5},"lines":[]}`, "/lines", "must have at least 1 elements"},
		"max_items":         {`{"id":"o-1","total":{"value":5},"lines":[{"sku":"a"},{"sku":"b"},{"sku":"c"},{"sku":"d"}]}`, "/lines", "must have at most 3 elements"},
		"twice":             {`{"id":"o-1","total":{"value":5},"lines":[{"sku":"a"},{"sku":"b"},{"sku":"a"}]}`, "/lines", "must not have an element twice, as 0 and 2 are"},
		"max_length":        {`{"id":"o-1","total":{"value":5},"lines":[{"sku":"a"},{"sku":"12345"}]}`, "/lines/1/sku", "must have at most 4 characters"},
		"enum":              {`{` + good + `,"state":"lost"}`, "/state", `must be one of "open", "shipped", null`},
		"const":             {`{` + good + `,"at":"2026-01-02T03:04:05Z","kind":"x"}`, "/kind", `must be "order"`},
		"format":            {`{` + good + `,"at":"yesterday"}`, "/at", "must be a valid date-time"},
		"dependent":         {`{` + good + `,"kind":"order"}`, "/at", `is required where "kind" is`},
		"additional":        {`{` + good + `,"zzz":1,"other":1}`, "/other", "is not a property that may be here"},
		"pattern_property":  {`{` + good + `,"x-y":1}`, "/x-y", "must be true or false"},
		"any_of":            {`{` + good + `,"to":5}`, "/to", "must fit one of the alternatives: must be an object; or must be text"},
		"any_of_closest":    {`{` + good + `,"to":{"street":5}}`, "/to/street", "must be text"},
		"any_of_missing":    {`{` + good + `,"to":{}}`, "/to", `"street" is required`},
		"one_of_two":        {`{` + good + `,"pay":1}`, "/pay", "fits numbers 1 and 2"},
		"contains":          {`{` + good + `,"tags":["y"]}`, "/tags", "must have an element that fits"},
		"not":               {`{` + good + `,"note":4}`, "/note", "must not fit"},
		"property_name":     {`{` + good + `,"map":{"abc":1}}`, "/map/abc", "name"},
		"max_properties":    {`{` + good + `,"map":{"a":1,"b":2}}`, "/map", "must have at most 1 properties"},
		"escaped":           {`{` + good + `,"a/b~c":1}`, "/a~1b~0c", "must be null"},
		"property_twice":    {`{"id":"o-1","id":"o-2","total":{"value":5},"lines":[{"sku":"a"}]}`, "/id", "once"},
		"huge_number":       {`{` + good + `,"pay":1e999999999}`, "/pay", "exponent"},
		"deep":              {`{"to":` + strings.Repeat("[", 500) + strings.Repeat("]", 500) + `}`, "", "200 deep"},
		"first_of_equals":   {`{"id":1,"total":5,"lines":5}`, "/id", "must be text"},
		"exponent_is_whole": {`{"id":"o-1","total":{"value":1e1},"lines":[{"sku":"a"}]}`, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			err := s.Validate([]byte(c.body))
			if c.message == "" {
				require.NoError(t, err)
				return
			}
			f := fault(t, err)
			require.Equal(t, c.path, f.Path, f.Message)
			require.Contains(t, f.Message, c.message)
		})
	}
}

func TestMessagesDoNotRepeatTheBody(t *testing.T) {
	t.Parallel()
	s := compile(t, order)
	const secret = "hunter2-hunter2"
	for _, body := range []string{
		`{"id":"hunter2-hunter2","total":{"value":5},"lines":[{"sku":"a"}]}`,
		`{"id":"o-1","total":{"value":5},"lines":[{"sku":"hunter2-hunter2"}]}`,
		`{"id":"o-1","total":{"value":5},"lines":[{"sku":"a"}],"state":"hunter2-hunter2"}`,
		`{"id":"o-1","total":{"value":5},"lines":[{"sku":"a"}],"at":"hunter2-hunter2"}`,
	} {
		require.NotContains(t, fault(t, s.Validate([]byte(body))).Error(), secret)
	}
}

// TestBounded checks that what would take for ever, or gigabytes, ends soon and is refused.
func TestBounded(t *testing.T) {
	t.Parallel()
	doubled := `{"properties":{"x":{"$ref":"#/$defs/a"}},"$defs":{"a":{"allOf":[{"items":{"$ref":"#/$defs/a"}},{"items":{"$ref":"#/$defs/a"}}]}}}`
	laughs := `{"$ref":"#/$defs/n30","$defs":{"n0":{"type":"object"}`
	for i := 1; i <= 30; i++ {
		laughs += fmt.Sprintf(`,"n%d":{"allOf":[{"$ref":"#/$defs/n%d"},{"$ref":"#/$defs/n%d"}]}`, i, i-1, i-1)
	}
	many := `{"properties":{"x":{"items":{"allOf":[{"type":"string"}` + strings.Repeat(
		`,{"type":"string"}`,
		1000,
	) + `]}}}}`
	numbers := `{"x":[1` + strings.Repeat(",1", 400_000) + `]}`
	slow := `{"properties":{"x":{"pattern":"(a?){400}b"}}}`
	for name, c := range map[string]struct{ schema, body, message string }{
		"format_regex":         {`{"properties":{"x":{"items":{"format":"regex"}}}}`, `{"x":["a{900}"` + strings.Repeat(`,"a{900}"`, 10_000) + `]}`, "too long"},
		"doubling_with_depth":  {doubled, `{"x":` + strings.Repeat("[", 150) + strings.Repeat("]", 150) + `}`, "too long"},
		"doubling_in_place":    {laughs + `}}`, `{}`, "too long"},
		"errors_by_the_number": {many, numbers, "too long"},
		"slow_pattern":         {slow, `{"x":"` + strings.Repeat("a", 900_000) + `"}`, "too long"},
		"unique":               {`{"properties":{"x":{"uniqueItems":true}}}`, numbers, "2000 elements"},
	} {
		t.Run(name, func(t *testing.T) {
			s := compile(t, c.schema)
			require.Contains(t, fault(t, s.Validate([]byte(c.body))).Message, c.message)
			require.NoError(t, compile(t, `{}`).Validate([]byte(`{}`)), "and the next check begins anew")
		})
	}
	t.Run("all_of_a_request", func(t *testing.T) {
		s, budget := compile(t, doubled), eventschema.NewBudget()
		body := []byte(`{"x":` + strings.Repeat("[", 150) + strings.Repeat("]", 150) + `}`)
		faults := map[string]int{}
		for range 1000 {
			faults[fault(t, budget.Validate(s, body)).Message]++
		}
		require.Len(t, faults, 2)
		require.Equal(t, 996, faults["takes too long to check together with the others: fewer must be published at once"])
		_, err := budget.Compile([]byte(`{"title":"compiled by nobody yet"}`))
		require.Contains(t, fault(t, err).Message, "fewer must be published")
		again, err := budget.Compile([]byte(doubled))
		require.NoError(t, err)
		require.Same(t, s, again)
	})
	t.Run("compiling_for_a_request", func(t *testing.T) {
		budget, compiled := eventschema.NewBudget(), 0
		for i := range 100 {
			_, err := budget.Compile(
				[]byte(fmt.Sprintf(`{"title":"%d","properties":{"a":{}%s}}`, i, repeated(4000, `,"a%d":{}`))),
			)
			if err == nil {
				compiled++
			}
		}
		require.Less(t, compiled, 10)
		require.Positive(t, compiled)
	})
	t.Run("regular_expressions_of_a_schema", func(t *testing.T) {
		_, err := eventschema.Compile(
			[]byte(`{"patternProperties":{"^x$":{}` + repeated(2000, `,"((a{30}){30})c%d":{}`) + `}}`),
		)
		require.Contains(t, fault(t, err).Message, "regular expressions")
	})
	t.Run("large_but_plain", func(t *testing.T) {
		s := compile(t, `{"properties":{"x":{"items":{"type":"integer"}}}}`)
		require.NoError(t, s.Validate([]byte(`{"x":[1`+strings.Repeat(",1", 50_000)+`]}`)))
	})
}

// TestStaysCompiled: what was compiled is not compiled again because memory was collected.
func TestStaysCompiled(t *testing.T) {
	s := compile(t, `{"properties":{"a":{}`+repeated(4000, `,"a%d":{}`)+`}}`)
	require.Less(t, testing.AllocsPerRun(3, func() {
		runtime.GC()
		runtime.GC() // a pool gives up what it has at the second
		require.NoError(t, s.Validate([]byte(`{}`)))
	}), 1000.0)
}

// repeated is a text n times, with the number of each.
func repeated(n int, format string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	s := compile(t, order)
	var all sync.WaitGroup
	for i := range 50 {
		all.Go(func() {
			body := fmt.Sprintf(`{"id":"o-%d","total":{"value":%d},"lines":[{"sku":"a"}]}`, i, i)
			for range 20 {
				if err := s.Validate([]byte(body)); (err == nil) != (i%5 == 0) {
					t.Errorf("%s: %v", body, err)
				}
			}
		})
	}
	all.Wait()
	require.Same(t, s, compile(t, order), "compiled once for each content")
}

func BenchmarkValidate(b *testing.B) {
	s := compile(b, order)
	body := []byte(
		`{"id":"o-1","total":{"value":5},"lines":[{"sku":"a"},{"sku":"b"}],"at":"2026-01-02T03:04:05Z","state":"open"}`,
	)
	b.ReportAllocs()
	for b.Loop() {
		if err := s.Validate(body); err != nil {
			b.Fatal(err)
		}
	}
}
