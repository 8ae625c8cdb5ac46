package api

import (
	"context"
	"errors"
	"fmt"
	"regexp"

	"github.com/gin-gonic/gin"
	"github.com/go-playground/validator/v10"
	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/db"
)

// resource is a kind of row that belongs to a company: how it is loaded and what it is called. There is one way for all of
// them to be not there (404, with the id as it was given) and to be another company's (403).
type resource[T any] struct {
	name, what string // "Job", as in resourceType; "job", as in "Access denied to this job"
	get        func(context.Context, bun.IDB, uuid.UUID) (*T, error)
	company    func(*T) uuid.UUID
}

// ofPath loads the row that the path names by :id; it must be one that the request may see.
func (r resource[T]) ofPath(c *gin.Context, d bun.IDB) (*T, error) {
	id, err := pathID(c, "id", r.name)
	if err != nil {
		return nil, err
	}
	row, err := r.load(c.Request.Context(), d, id)
	if err != nil {
		return nil, err
	}
	return row, allow(c, r.company(row), r.what)
}

// of loads a row that a body names; it must be of that company.
func (r resource[T]) of(ctx context.Context, d bun.IDB, company, id uuid.UUID) (*T, error) {
	row, err := r.load(ctx, d, id)
	if err != nil {
		return nil, err
	}
	if r.company(row) != company {
		return nil, denied(r.what)
	}
	return row, nil
}

func (r resource[T]) load(ctx context.Context, d bun.IDB, id uuid.UUID) (*T, error) {
	row, err := r.get(ctx, d, id)
	if errors.Is(err, db.ErrNotFound) {
		return nil, notFound(r.name, id.String())
	}
	return row, err
}

// requireAll asks for scopes beside the route's own.
func requireAll(c *gin.Context, scopes ...string) error {
	for _, scope := range scopes {
		if err := requireScope(c, scope); err != nil {
			return err
		}
	}
	return nil
}

// The reference shows values of its word lists but never the whole lists (§2.11–2.14), so a word is checked for its form: a
// client that knows more of them works, a typing error in another form does not.
var (
	wordForm     = regexp.MustCompile(`^[A-Z][A-Z0-9_]{0,63}$`)
	languageForm = regexp.MustCompile(`^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})?$`)

	_ = addRule("word", wordForm, "a word in capitals, like FULL_TIME")
	_ = addRule("language", languageForm, "a language code, like EN or SK")
)

// addRule makes a form available to the validate tags.
func addRule(tag string, form *regexp.Regexp, what string) bool {
	demands[tag] = what
	err := rules.RegisterValidation(tag, func(fl validator.FieldLevel) bool { return form.MatchString(fl.Field().String()) })
	if err != nil {
		panic(fmt.Sprintf("api: rule %s: %v", tag, err))
	}
	return true
}

// queryWord reads a word from the query; "" when it is not sent.
func queryWord(c *gin.Context, name string) (string, error) {
	raw, sent := c.GetQuery(name)
	if sent && !wordForm.MatchString(raw) {
		return "", invalid(name, name+" must be "+demands["word"])
	}
	return raw, nil
}
