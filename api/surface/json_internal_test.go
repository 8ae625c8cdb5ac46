package surface

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// maxDepth is that of package pg.
const maxDepth = 64

func TestCheckJSON(t *testing.T) {
	t.Parallel()
	for _, good := range []string{
		`{}`, `[]`, `"x"`, `1`, `null`, ` {"a" : {"a":["a","a",{"a":"a"}]} , "b":"a"} `, `["\"","\\","\\u0000","\ud83d\ude00"]`,
		`{"":1,"\"":2,"\\":3}`, `[0,-0,1.5,-1.5e-10,0.0,1e308]`, `{"a":[],"b":{},"c":[{}],"d":"}"}`, `[true,false,null,"true"]`,
		`[0E-10,0e0,0.00E+2,-0e1,5e-324,0e-16383,0e400000]`, "[1" + strings.Repeat("0", 300) + ",0." + strings.Repeat("3", 16383) + "]",
		strings.Repeat("[", maxDepth) + strings.Repeat("]", maxDepth),
	} {
		require.NoError(t, CheckJSON([]byte(good)), good)
	}
	for bad, message := range map[string]string{
		`{"a":1,"b":2,"a":3}`:                 "a is there twice",
		`{"a":1,"\u0061":3}`:                  "a is there twice",
		`[{"x":{"":1,"b":[],"":2}}]`:          " is there twice",
		`{"a":{},"a":{}}`:                     "a is there twice",
		`{"a":"\u0000"}`:                      `The body must not contain NUL characters (\u0000)`,
		`{"\u0000":1}`:                        `The body must not contain NUL characters (\u0000)`,
		`["\ud83d"]`:                          `The body must not contain half of a surrogate pair (\ud800–\udfff)`,
		`["\ud83d\u0041"]`:                    `The body must not contain half of a surrogate pair (\ud800–\udfff)`,
		`["\ude00\ud83d"]`:                    `The body must not contain half of a surrogate pair (\ud800–\udfff)`,
		`[1e309]`:                             "The body has a number that is out of range: 1e309",
		`[1e-400]`:                            "The body has a number that is out of range: 1e-400",
		`[10e-400000]`:                        "The body has a number that is out of range: 10e-400000",
		`[0e-16384]`:                          "The body has a number that is out of range: 0e-16384",
		`[-0.0e2147483647]`:                   "The body has a number that is out of range: -0.0e2147483647",
		"[1" + strings.Repeat("0", 309) + "]": "The body has a number that is out of range: 1" + strings.Repeat("0", 99) + "…",
		"\xef\xbb\xbf{}":                      "The body begins with a byte order mark (EF BB BF), which is not JSON: send it without",
		strings.Repeat("[", maxDepth+1) + strings.Repeat("]", maxDepth+1): "The body must not be nested deeper than 64 levels",
		"\"\xff\"":    "The body must be valid UTF-8",
		`{"a":}`:      "The body is not valid JSON: invalid character '}' looking for beginning of value",
		`{} {}`:       "The body is not valid JSON: invalid character '{' after top-level value",
		`["` + "\x00": `The body is not valid JSON: invalid character '\x00' in string literal`,
		`"`:           "The body is not valid JSON: unexpected end of JSON input",
	} {
		var refused *Error
		require.ErrorAs(t, CheckJSON([]byte(bad)), &refused, bad)
		require.Equal(t, message, refused.Message)
	}
}

func FuzzCheckJSON(f *testing.F) {
	for _, seed := range []string{`{"a":[1,"\ud83d\ude00"]}`, `{"a":1,"\u0061":2}`, `"\u0000"`, `[-1.5e3,{}]`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) { // it must not panic
		var refused *Error
		if errors.As(CheckJSON(raw), &refused) && strings.Contains(refused.Message, "surrogate") {
			require.Contains(t, strings.ToLower(string(raw)), `\ud`)
		}
	})
}
