package eventschema

import (
	"crypto/sha256"
	"errors"
	"fmt"
)

// Budget limits the work of all checks of one request together, because many small bodies that are slow to check block
// other requests like a single one. It is not safe for concurrent use.
type Budget struct{ left int }

// weightOfStep converts a schema's weight to steps: compiling the largest schemas takes some 100 ms.
const weightOfStep = 16

var errSpent = &Fault{"", "takes too long to check together with the others: fewer must be published at once"}

// NewBudget returns a full budget.
func NewBudget() *Budget { return &Budget{maxAllSteps} }

// Spent returns the number of steps used.
func (b *Budget) Spent() int { return maxAllSteps - b.left }

// Compile is [Compile] within the budget: a schema that is not cached costs its weight.
func (b *Budget) Compile(text []byte) (*Schema, error) {
	if s := cached(sha256.Sum256(text)); s != nil {
		return s, nil
	}
	if b.left <= 0 {
		return nil, errSpent
	}
	s, err := Compile(text)
	if err == nil {
		b.left -= s.weight / weightOfStep
	}
	return s, err
}

// Validate is [Schema.Validate] within the budget; it returns a *Fault when the budget is spent.
func (b *Budget) Validate(s *Schema, body []byte) error {
	c, err := s.take()
	if err != nil {
		return fmt.Errorf("compile event schema: %w", err)
	}
	defer s.give(c)
	v, err := read(body, limits{depth: maxBodyDepth, elements: c.elements})
	if err != nil {
		return err
	}
	allowed := min(maxSteps, b.left)
	c.steps.left = allowed
	err = validate(c.root, v)
	b.left -= allowed - max(c.steps.left, 0)
	switch {
	case !errors.Is(err, errExhausted):
		return err
	case allowed < maxSteps:
		return errSpent
	}
	return &Fault{"", "takes too long to check against its schema: it must be smaller"}
}
