package eventschema

import (
	"errors"
	"fmt"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"golang.org/x/text/message"
)

const (
	// maxSteps is what checking one body may take: room for a body of 100,000 plain values. Without a bound, a few lines
	// of schema make a check that takes longer than the universe has. A step takes 0.1 to 1.5 µs, the most where faults
	// are written down.
	maxSteps = 300_000
	// maxAllSteps is what checking all bodies of one request may take: more than 4 MiB of them need when they are no
	// trick.
	maxAllSteps = 4 * maxSteps
)

// steps counts the work of a check. The library has no way to stop one but a panic.
type steps struct{ left int }

type exhausted struct{}

var errExhausted = errors.New("takes too long")

func (s *steps) add(n int) {
	if s.left -= n + 1; s.left < 0 {
		panic(exhausted{})
	}
}

// validate checks a value; it is a *Fault when it does not fit, and errExhausted when the steps do not suffice to tell.
func validate(s *jsonschema.Schema, v any) (err error) {
	defer func() {
		switch r := recover(); r.(type) {
		case nil:
		case exhausted:
			err = errExhausted
		default:
			err = fmt.Errorf("check event against its schema: panic: %v", r)
		}
	}()
	var verr *jsonschema.ValidationError
	if err := s.Validate(v); errors.As(err, &verr) {
		return worst(verr)
	} else if err != nil {
		return fmt.Errorf("check event against its schema: %w", err)
	}
	return nil
}

// cost is the work of one schema on one value, without that of the schemas below, which count their own; those that
// fail at once do not, so a schema counts what it hands out.
type cost struct {
	steps             *steps
	own, each, unique int
	names             *jsonschema.Schema // propertyNames
}

// badName is a name that propertyNames does not allow. The library has a fault of its own for that, whose place
// cannot be relied on: it is overwritten by the check of what comes after.
type badName struct{ name string }

func (badName) KeywordPath() []string                   { return []string{"propertyNames"} }
func (badName) LocalizedString(*message.Printer) string { return "bad property name" }

// count is what the library compiles beside its own keywords: for each schema, its cost.
func (c *compiled) count(ctx *jsonschema.CompilerContext, object map[string]any) (jsonschema.SchemaExt, error) {
	out := cost{steps: c.steps, own: len(object), each: 1}
	for word, v := range object {
		switch v := v.(type) {
		case []any:
			out.own += len(v)
		case map[string]any:
			if word == "dependentSchemas" || word == "dependencies" || word == "dependentRequired" {
				out.own += len(v)
			}
			if word == "patternProperties" {
				out.each += len(v)
			}
		}
	}
	if object["uniqueItems"] == true {
		out.unique, c.elements = 1, uniqueElements
	}
	if object["propertyNames"] != nil {
		out.names = ctx.Enqueue([]string{"propertyNames"})
	}
	return out, nil
}

func (k cost) Validate(ctx *jsonschema.ValidatorContext, v any) {
	n := k.own
	switch v := v.(type) {
	case string:
		n += len(v) / 64
	case []any:
		n += len(v)*k.each + k.unique*len(v)*len(v)/64
	case map[string]any:
		n += len(v) * k.each
		if k.names != nil {
			k.checkNames(ctx, v)
		}
	}
	k.steps.add(n)
}

func (k cost) checkNames(ctx *jsonschema.ValidatorContext, object map[string]any) {
	for name := range object {
		if k.names.Validate(name) != nil {
			ctx.AddError(badName{name})
		}
	}
}
