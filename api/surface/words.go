package surface

import (
	"fmt"
	"regexp"

	"github.com/gin-gonic/gin"
	"github.com/go-playground/validator/v10"
)

// The reference shows values of its word lists but never the whole lists (§2.11–2.14), so a word is checked for its
// form: a client that knows more of them works, a typing error in another form does not.
var (
	wordForm     = regexp.MustCompile(`^[A-Z][A-Z0-9_]{0,63}$`)
	languageForm = regexp.MustCompile(`^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})?$`)

	_ = AddRule("word", wordForm, "a word in capitals, like FULL_TIME")
	_ = AddRule("language", languageForm, "a language code, like EN or SK")
)

// AddRule makes a form available to the validate tags.
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
