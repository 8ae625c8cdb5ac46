// Package eventschema checks the bodies of published events against a JSON Schema (2020-12), and tells whether a new
// version of a schema breaks receivers of the old one.
//
// Schemas and bodies both come from outside, so everything is bounded: the size and depth of a schema, the numbers in
// it, the regular expressions (RE2, which has no bad case), and the steps that checking one body may take. Nothing is
// ever loaded from the network or from a file: a schema refers to itself alone. Formats are checked, since a receiver
// relies on what is written.
//
// The question of compatibility is whether every body that fits the new schema fits the old one. What cannot be
// proven to is called breaking: a false alarm costs a `force`, a miss breaks somebody's receiver.
package eventschema

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
)

const (
	// MaxSize is the size of a schema in bytes.
	MaxSize = 64 << 10
	// maxDepth is how deep a schema may be nested: each level of the body takes two.
	maxDepth = 64
	// maxValues is how many JSON values a schema may have: compiling takes time with the square of its parts.
	maxValues = 5000
	// maxBodyDepth is how deep a checked body may be nested; checking it is recursive.
	maxBodyDepth = 200
)

// Fault is what is wrong at one place: of a body, of a schema, or between two versions of a schema.
type Fault struct {
	// Path is a JSON pointer; "" is the whole. Between versions it points into a body, and * stands for any element or
	// for any property that has no schema of its own.
	Path string `json:"path"`
	// Message says what must be there instead, and never repeats what a body says.
	Message string `json:"message"`
}

func (f *Fault) Error() string {
	if f.Path == "" {
		return f.Message
	}
	return f.Path + ": " + f.Message
}

// Schema is a compiled schema; it may be used by many at once.
type Schema struct {
	text   string
	weight int // about what it takes in memory, in bytes
	// kept and idle hold compiled copies: each counts the steps of the check that it is used for, and so serves one at a
	// time. One is kept, the others are for while many are wanted: the garbage collector takes them.
	kept chan *compiled
	idle sync.Pool
}

// cache keeps compiled schemas by their content, up to cacheSize bytes by their weight.
var cache = struct {
	sync.Mutex
	size    int
	schemas map[[sha256.Size]byte]*Schema
}{schemas: map[[sha256.Size]byte]*Schema{}}

const cacheSize = 32 << 20

// Compile reads a schema. What it refuses is a *Fault whose path points into the schema: what is no schema of draft
// 2020-12, refers to anything outside of itself, allows no object, is larger or deeper than the limits of this
// package, or cannot be checked in bounded time because it refers to itself without a step into the body.
func Compile(text []byte) (*Schema, error) {
	if len(text) > MaxSize {
		return nil, &Fault{"", fmt.Sprintf("must have at most %d bytes", MaxSize)}
	}
	key := sha256.Sum256(text)
	if s := cached(key); s != nil {
		return s, nil
	}
	first, err := compile(text)
	if err != nil {
		return nil, err
	}
	s := &Schema{text: string(text), weight: len(text) + first.weight(), kept: make(chan *compiled, 1)}
	s.give(first)
	remember(key, s)
	return s, nil
}

func cached(key [sha256.Size]byte) *Schema {
	cache.Lock()
	defer cache.Unlock()
	return cache.schemas[key]
}

// remember keeps a schema, and forgets any others to have the room.
func remember(key [sha256.Size]byte, s *Schema) {
	cache.Lock()
	defer cache.Unlock()
	if cache.schemas[key] != nil {
		return
	}
	cache.size += s.weight
	for k, other := range cache.schemas {
		if cache.size <= cacheSize {
			break
		}
		cache.size -= other.weight
		delete(cache.schemas, k)
	}
	cache.schemas[key] = s
}

// take returns a compiled copy for the caller alone.
func (s *Schema) take() (*compiled, error) {
	select {
	case c := <-s.kept:
		return c, nil
	default:
	}
	if c, ok := s.idle.Get().(*compiled); ok {
		return c, nil
	}
	return compile([]byte(s.text))
}

// give takes it back.
func (s *Schema) give(c *compiled) {
	select {
	case s.kept <- c:
	default:
		s.idle.Put(c)
	}
}

// Validate checks a body. What does not fit is a *Fault with the deepest place that is wrong, of those the first by
// name. So is a body that cannot be checked within the limits of this package, and one that has a property twice,
// because receivers differ in which of the two they read.
func (s *Schema) Validate(body []byte) error { return NewBudget().Validate(s, body) }

// Breaking lists why a receiver that relies on what the old schema says may break when bodies fit the new one; none:
// it is proven that it does not. At most maxReasons are given.
func Breaking(old, new *Schema) ([]Fault, error) { //nolint:predeclared // the two schemas are called so everywhere
	if old.text == new.text {
		return nil, nil
	}
	o, oldErr := old.take()
	n, newErr := new.take()
	if err := errors.Join(oldErr, newErr); err != nil {
		return nil, fmt.Errorf("compile event schema: %w", err)
	}
	defer old.give(o)
	defer new.give(n)
	return compare(o, n), nil
}
