package api

import (
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Each language has every sentence, with the same places for what is put into it.
func TestInviteTextsAreComplete(t *testing.T) {
	t.Parallel()
	english := reflect.ValueOf(allInviteTexts[0])
	for _, texts := range allInviteTexts {
		v := reflect.ValueOf(texts)
		for i := range v.NumField() {
			name, text := v.Type().Field(i).Name, v.Field(i).String()
			require.NotEmpty(t, text, "%s of %s", name, texts.Lang)
			for _, verb := range []string{"%s", "%d"} {
				require.Equal(t, strings.Count(english.Field(i).String(), verb), strings.Count(text, verb),
					"%s of %s", name, texts.Lang)
			}
			require.Equal(t, strings.Count(text, "%"), strings.Count(text, "%s")+strings.Count(text, "%d"))
		}
	}
}
