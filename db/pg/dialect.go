package pg

import (
	"bytes"

	"github.com/uptrace/bun/dialect/pgdialect"
)

// dialect is Bun's, with its own quoting of JSON: Bun's takes the text \u0000 after an escaped backslash for an escaped
// NUL, and makes invalid JSON of it.
type dialect struct{ *pgdialect.Dialect }

var (
	nulEscape  = []byte("u0000")
	nulAsText  = []byte(`\\u0000`)
	twoQuotes  = []byte("''")
	aBackslash = []byte(`\\`)
)

// AppendJSON implements Bun's schema.Dialect: it appends JSON as a string literal. A NUL, which jsonb cannot hold,
// becomes the text \u0000.
func (dialect) AppendJSON(b, json []byte) []byte {
	b = append(b, '\'')
	for i := 0; i < len(json); i++ {
		switch rest := json[i+1:]; {
		case json[i] == '\'':
			b = append(b, twoQuotes...)
		case json[i] == 0:
		case json[i] != '\\':
			b = append(b, json[i])
		case bytes.HasPrefix(rest, nulEscape):
			b = append(b, nulAsText...)
			i += len(nulEscape)
		case len(rest) > 0 && rest[0] == '\\':
			b = append(b, aBackslash...)
			i++
		default: // what is escaped comes next, so that a quote is doubled
			b = append(b, '\\')
		}
	}
	return append(b, '\'')
}
