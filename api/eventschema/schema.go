// Package eventschema checks the bodies of published events against a JSON Schema (2020-12), and reports whether a new
// version of a schema breaks receivers of the old one.
//
// Schemas and bodies come from clients, so their cost is limited: the size and depth of a schema, its numbers, its
// regular expressions (RE2, which runs in linear time), and the steps of checking a body. A schema can only refer to
// itself: nothing is loaded from the network or a file. Formats are checked, because receivers rely on them.
//
// A new schema is compatible if every body that it accepts is also accepted by the old one. If this cannot be proven,
// the schema is reported as breaking: a false alarm costs a `force`, a missed break costs a receiver.
package eventschema

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
)

const (
	// MaxSize limits a schema, in bytes.
	MaxSize = 64 << 10
	// maxDepth limits the nesting of a schema: each level of the body takes two.
	maxDepth = 64
	// maxValues limits the JSON values in a schema: the time to compile grows with their square.
	maxValues = 5000
	// maxBodyDepth limits the nesting of a checked body, because checking is recursive.
	maxBodyDepth = 200
)

// Fault describes an error at one place: in a body, in a schema, or between two versions of a schema.
type Fault struct {
	// Path is a JSON pointer; "" is the whole. Between versions it points into a body, and * stands for any element or any
	// property without its own schema.
	Path string `json:"path"`
	// Message says what is required at Path. It never contains data of a body.
	Message string `json:"message"`
}

func (f *Fault) Error() string {
	if f.Path == "" {
		return f.Message
	}
	return f.Path + ": " + f.Message
}

// Schema is a compiled schema. It is safe for concurrent use.
type Schema struct {
	text   string
	weight int // approximate memory use, in bytes
	// kept and idle have compiled copies. A copy counts the steps of its check, so it serves one check at a time. One copy
	// is kept; further ones, made under concurrent use, may be garbage-collected.
	kept chan *compiled
	idle sync.Pool
}

// cache keeps compiled schemas by their content, up to a total weight of cacheSize bytes.
var cache = struct {
	sync.Mutex
	size    int
	schemas map[[sha256.Size]byte]*Schema
}{schemas: map[[sha256.Size]byte]*Schema{}}

const cacheSize = 32 << 20

// Compile compiles a schema. A refusal is a *Fault whose path points into the schema: if it is not valid under draft
// 2020-12, refers to anything outside itself, allows no object, exceeds the limits of this package, or cannot be
// checked in bounded time because it refers to itself without a step into the body.
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

// remember caches a schema and evicts any others to make room.
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

// take returns a compiled copy for exclusive use.
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

// give returns the copy for reuse.
func (s *Schema) give(c *compiled) {
	select {
	case s.kept <- c:
	default:
		s.idle.Put(c)
	}
}

// Validate checks a body. It returns a *Fault with the deepest place that is wrong, the first by name if there are
// several. It also refuses a body that exceeds the limits of this package, and one with a duplicate property, because
// receivers differ in which of the two they read.
func (s *Schema) Validate(body []byte) error { return NewBudget().Validate(s, body) }

// Breaking returns the reasons, at most maxReasons, why a receiver that relies on the old schema may break on bodies
// valid under the new one. No reasons: proven compatible.
func Breaking(old, new *Schema) ([]Fault, error) { //nolint:predeclared // the usual names of the two schemas
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
