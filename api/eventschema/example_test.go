package eventschema_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"greenroom/activities/webhook/profiles"
	"greenroom/api/eventschema"
)

func TestExample(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ schema, want string }{
		"nothing is required": {`{}`, `{}`},
		"required and other properties": {
			`{"required":["id"],"properties":{"id":{"type":"string"},"n":{"type":"integer"}}}`, `{"id":"text","n":1}`,
		},
		"its own example": {
			`{"properties":{"id":{"type":"string"}},"examples":[{"id":"o-17","note":"<b>"}]}`, `{"id":"o-17","note":"<b>"}`,
		},
		"the first example that fits": {
			`{"required":["id"],"examples":[{},{"id":7}],"properties":{"id":{"type":"integer"}}}`, `{"id":7}`,
		},
		"examples and defaults of properties": {
			`{"properties":{"a":{"type":"string","examples":["Ada"]},"b":{"default":5}}}`, `{"a":"Ada","b":5}`,
		},
		"a default that does not fit": {`{"properties":{"a":{"type":"string","default":5}}}`, `{"a":"text"}`},
		"constants and enumerations":  {`{"properties":{"a":{"const":"x"},"b":{"enum":[3,4]}}}`, `{"a":"x","b":3}`},
		"formats":                     {`{"properties":{"at":{"type":"string","format":"date-time"}}}`, `{"at":"2024-01-20T14:30:00Z"}`},
		"patterns":                    {`{"properties":{"a":{"type":"string","pattern":"^o-[0-9]{3,}(x|y)?$"}}}`, `{"a":"o-111"}`},
		"a pattern with a length": {
			`{"properties":{"a":{"type":"string","pattern":"^[a-z]*$","minLength":6,"maxLength":6}}}`, `{"a":"aaaaaa"}`,
		},
		"bounds": {
			`{"properties":{"a":{"type":"integer","exclusiveMinimum":10},"b":{"type":"number","maximum":-2.5},
				"c":{"type":"number","minimum":0.1,"exclusiveMaximum":0.2},"d":{"type":"integer","minimum":7,"multipleOf":5}}}`,
			`{"a":11,"b":-3,"c":0.15,"d":10}`,
		},
		"arrays":               {`{"properties":{"a":{"type":"array","minItems":2,"items":{"type":"boolean"}}}}`, `{"a":[true,true]}`},
		"an array of nothing":  {`{"properties":{"a":{"type":"array","items":false}}}`, `{"a":[]}`},
		"tuples":               {`{"properties":{"a":{"prefixItems":[{"const":1},{"const":2}],"items":false,"minItems":2}}}`, `{"a":[1,2]}`},
		"references":           {`{"$defs":{"m":{"type":"object","required":["v"],"properties":{"v":{"type":"integer"}}}},"properties":{"a":{"$ref":"#/$defs/m"}}}`, `{"a":{"v":1}}`},
		"all of":               {`{"allOf":[{"required":["a"]},{"properties":{"a":{"type":"string","minLength":9}}}]}`, `{"a":"texttextt"}`},
		"one of":               {`{"oneOf":[{"required":["a"],"properties":{"a":{"not":{}}}},{"required":["b"],"properties":{"b":{"type":"null"}}}]}`, `{"b":null}`},
		"closed objects":       {`{"additionalProperties":false,"properties":{"a":{"type":"string","maxLength":2}}}`, `{"a":"te"}`},
		"undescribed required": {`{"required":["a"],"additionalProperties":{"type":"integer"}}`, `{"a":1}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := compile(t, c.schema)
			got, err := eventschema.NewBudget().Example(s)
			require.NoError(t, err)
			require.JSONEq(t, c.want, string(got))
			require.NoError(t, s.Validate(got))
			again, err := eventschema.NewBudget().Example(s)
			require.NoError(t, err)
			require.Equal(t, string(got), string(again))
		})
	}
}

// A schema that refers to itself has a finite example.
func TestExampleOfATree(t *testing.T) {
	t.Parallel()
	s := compile(t, `{"type":"object","required":["name"],"properties":{"name":{"type":"string"},
		"children":{"type":"array","items":{"$ref":"#"}},"parent":{"$ref":"#"}}}`)
	got, err := eventschema.NewBudget().Example(s)
	require.NoError(t, err)
	require.NoError(t, s.Validate(got))
	require.Less(t, len(got), 64<<10)
}

func TestNoExample(t *testing.T) {
	t.Parallel()
	for name, schema := range map[string]string{
		"what is required is forbidden": `{"required":["a"],"additionalProperties":false}`,
		"an unknown secret":             `{"required":["a"],"properties":{"a":{"type":"string","not":{"pattern":"e"}}}}`,
		"too long":                      `{"required":["a"],"properties":{"a":{"type":"string","minLength":100000}}}`,
		"an endless object":             `{"required":["a"],"properties":{"a":{"$ref":"#"}}}`,
		"nested empty repetitions": `{"required":["a"],"properties":{"a":{"type":"string","minLength":999,` +
			`"pattern":"^(((\\b*)*)*)*$","maxLength":999}}}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := eventschema.NewBudget().Example(compile(t, schema))
			require.ErrorIs(t, err, eventschema.ErrNoExample)
		})
	}
}

// Schemas that people wrote have examples.
func TestExampleOfEachTypeOfTheCatalogue(t *testing.T) {
	t.Parallel()
	for _, typ := range profiles.Types() {
		if typ.Schema == nil {
			continue
		}
		s := compile(t, string(typ.Schema))
		got, err := eventschema.NewBudget().Example(s)
		require.NoError(t, err, typ.Name)
		require.True(t, json.Valid(got))
		require.False(t, strings.HasPrefix(string(got), "null"))
	}
}
