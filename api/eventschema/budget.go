package eventschema

import (
	"crypto/sha256"
	"errors"
	"fmt"
)

// Budget is the work that the checks of one request may take in all: many small bodies that each take long hold up
// others as one that takes longer does. It serves one goroutine.
type Budget struct{ left int }

// weightOfStep is how much weight is compiled while a body takes a step: the largest schemas take some 100 ms.
const weightOfStep = 16

var errSpent = &Fault{"", "takes too long to check together with the others: fewer must be published at once"}

// NewBudget returns one that is unspent.
func NewBudget() *Budget { return &Budget{maxAllSteps} }

// Compile is [Compile] within the budget: a schema that had to be compiled costs what it weighs.
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

// Validate is [Schema.Validate] within the budget; a body that is checked when it is spent is a *Fault.
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
