package wiseway

import (
	"regexp"
	"strings"

	"github.com/gin-gonic/gin"

	"greenroom/api/surface"
)

// Words (a position's status, a contract's type) are taken in any case, since nobody knows how this product's clients
// write them, and shown in capitals, as they are on every surface and in the deliveries.
var wordForm = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]{0,63}$`)

var _ = surface.AddRule("anyword", wordForm, "a word, like OPEN or FULL_TIME")

// upper is the word as it is stored.
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

// queryWord reads a word from the query as it is stored; "" when it is not sent.
func queryWord(c *gin.Context, name string) (string, error) {
	raw, sent := c.GetQuery(name)
	if sent && !wordForm.MatchString(raw) {
		return "", surface.Invalid(name, name+" must be a word, like OPEN")
	}
	return strings.ToUpper(raw), nil
}
