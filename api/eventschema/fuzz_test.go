package eventschema_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"greenroom/api/eventschema"
)

// FuzzCompile: a schema that is registered can check any body, and breaks nothing compared with itself.
func FuzzCompile(f *testing.F) {
	for _, seed := range []string{
		`{}`, `true`, `{"type":"object","properties":{"a":{"$ref":"#/$defs/a"}},"$defs":{"a":{"type":"integer"}}}`,
		`{"$ref":"#"}`, `{"$ref":"file:///etc/passwd"}`, `{"pattern":"(a+)+$"}`, `{"allOf":[{"$ref":"#"}]}`,
	} {
		f.Add([]byte(seed), []byte(`{"a":1}`))
	}
	f.Fuzz(func(t *testing.T, schema, body []byte) {
		s, err := eventschema.Compile(schema)
		if err != nil {
			return
		}
		_ = s.Validate(body) // it must not panic
		faults, err := eventschema.Breaking(s, s)
		if err == nil {
			require.Empty(t, faults)
		}
	})
}
