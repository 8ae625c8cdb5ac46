package wiseway

import (
	"regexp"
	"strings"

	"github.com/gin-gonic/gin"

	"greenroom/api/surface"
)

// Words (a position's status, a contract's type) are accepted in any case, since the reference does not say how clients
// write them, and returned in capitals, as on every surface and in deliveries.
var wordForm = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]{0,63}$`)

var _ = surface.AddRule("anyword", wordForm, "a word, like OPEN or FULL_TIME")

// upper returns the word as it is stored.
func upper(word *string) *string {
	if word == nil {
		return nil
	}
	u := strings.ToUpper(*word)
	return &u
}

func upperOpt(word surface.Opt[string]) surface.Opt[string] {
	word.Value = strings.ToUpper(word.Value)
	return word
}

// queryWord reads a word of the query as it is stored; "" when it is absent.
func queryWord(c *gin.Context, name string) (string, error) {
	raw, sent := c.GetQuery(name)
	if sent && !wordForm.MatchString(raw) {
		return "", surface.Invalid(name, name+" must be a word, like OPEN")
	}
	return strings.ToUpper(raw), nil
}
