package eventschema

import (
	"errors"
	"fmt"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"golang.org/x/text/message"
)

const (
	// maxSteps limits the check of one body: enough for 100,000 plain values. Without a limit, a few lines of schema can
	// make a check practically endless. A step takes 0.1 to 1.5 µs, the longest when faults are recorded.
	maxSteps = 300_000
	// maxAllSteps limits the checks of all bodies of a request: more than ordinary bodies of 4 MiB need.
	maxAllSteps = 4 * maxSteps
)

// MaxSteps is the size of a [Budget]. A step takes 0.1 to 1.5 µs.
const MaxSteps = maxAllSteps

// steps counts the work of a check. The library can only be stopped by a panic.
type steps struct{ left int }

type exhausted struct{}

var errExhausted = errors.New("takes too long")

func (s *steps) add(n int) {
	if s.left -= n + 1; s.left < 0 {
		panic(exhausted{})
	}
}

// validate checks a value. It returns a *Fault if the value is invalid, and errExhausted if the steps do not suffice.
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

// cost is the work of one schema on one value. Schemas below it count their own work, unless they fail at once; so a
// schema also counts the values that it passes on.
type cost struct {
	steps             *steps
	own, each, unique int
	names             *jsonschema.Schema // propertyNames
}

// badName is a name that propertyNames does not allow. It replaces the library's own fault, whose place is unreliable:
// the following check overwrites it.
type badName struct{ name string }

func (badName) KeywordPath() []string                   { return []string{"propertyNames"} }
func (badName) LocalizedString(*message.Printer) string { return "bad property name" }

// count adds the cost of each schema to what the library compiles.
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
