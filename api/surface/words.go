package surface

import (
	"fmt"
	"regexp"

	"github.com/gin-gonic/gin"
	"github.com/go-playground/validator/v10"
)

// The reference shows examples from its word lists, never whole lists (§2.11–2.14). So only the form of a word is
// checked: a word that the reference does not show is accepted, a typing error that breaks the form is refused.
var (
	wordForm     = regexp.MustCompile(`^[A-Z][A-Z0-9_]{0,63}$`)
	languageForm = regexp.MustCompile(`^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})?$`)

	_ = AddRule("word", wordForm, "a word in capitals, like FULL_TIME")
	_ = AddRule("language", languageForm, "a language code, like EN or SK")
)

// AddRule registers a form as a rule for validate tags.
func AddRule(tag string, form *regexp.Regexp, what string) bool {
	demands[tag] = what
	err := rules.RegisterValidation(
		tag,
		func(fl validator.FieldLevel) bool { return form.MatchString(fl.Field().String()) },
	)
	if err != nil {
		panic(fmt.Sprintf("api: rule %s: %v", tag, err))
	}
	return true
}

// QueryWord reads a word from the query; "" when it is not sent.
func QueryWord(c *gin.Context, name string) (string, error) {
	raw, sent := c.GetQuery(name)
	if sent && !wordForm.MatchString(raw) {
		return "", Invalid(name, name+" must be "+demands["word"])
	}
	return raw, nil
}
