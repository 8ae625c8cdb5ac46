package eventschema

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

const (
	// base is the URL of the compiled schema; nothing can be loaded from it.
	base = "schema:///event"
	// dialect is the only value of $schema that is accepted.
	dialect = "https://json-schema.org/draft/2020-12/schema"
	// maxPattern limits the length of a regular expression. A short one with repetitions can compile to a large program,
	// so maxPrograms limits the instructions of all expressions of a schema.
	maxPattern  = 500
	maxPrograms = 20_000
	// uniqueElements limits the length of an array if the schema requires unique elements: in the worst case, the library
	// compares each pair.
	uniqueElements = 2000
)

// compiled is a schema that serves one check at a time.
type compiled struct {
	root     *jsonschema.Schema
	steps    *steps
	elements int // limit of an array's length; 0: none
	schemas  int // number of sub-schemas
	programs int // instructions of its regular expressions
}

// weight estimates the memory of the schema without its text, in bytes.
func (c *compiled) weight() int { return 1000*c.schemas + 200*c.programs }

// compile compiles a schema; every refusal is a *Fault.
func compile(text []byte) (c *compiled, err error) {
	defer func() {
		switch recover().(type) {
		case nil:
		case exhausted:
			c, err = nil, &Fault{"", "has regular expressions that are too large, or too many of them"}
		default: // a panic of the library means an invalid schema too
			c, err = nil, &Fault{"", "cannot be understood as a JSON Schema"}
		}
	}()
	doc, err := read(text, limits{depth: maxDepth, values: maxValues})
	if err != nil {
		return nil, err
	}
	object, ok := doc.(map[string]any)
	if !ok {
		return nil, &Fault{"", "must be an object"}
	}
	if s, ok := object["$schema"]; ok && s != dialect && s != dialect+"#" {
		return nil, &Fault{"/$schema", "must be " + dialect}
	}
	const compilings = 2 // the library compiles each regular expression twice: once to check it
	c = &compiled{steps: &steps{left: compilings * maxPrograms}}
	l := c.library()
	for _, f := range unknownFormats(doc, map[string]bool{}) {
		l.RegisterFormat(f)
	}
	if err := l.AddResource(base, doc); err != nil {
		return nil, &Fault{"", "cannot be understood as a JSON Schema"}
	}
	if c.root, err = l.Compile(base); err != nil {
		return nil, explain(doc, err)
	}
	c.programs = maxPrograms - c.steps.left/compilings
	all := reachable(c.root)
	c.schemas = len(all)
	if err := check(all); err != nil {
		return nil, err
	}
	return c, nil
}

// library configures the compiler: formats are checked, regular expressions limited, steps counted, and nothing is
// loaded.
func (c *compiled) library() *jsonschema.Compiler {
	l := jsonschema.NewCompiler()
	l.DefaultDraft(jsonschema.Draft2020)
	l.AssertFormat()
	l.UseLoader(nothing{})
	l.UseRegexpEngine(c.pattern)
	l.RegisterVocabulary(&jsonschema.Vocabulary{URL: "urn:greenroom:steps", Compile: c.count})
	l.AssertVocabs()
	return l
}

// nothing is a loader that refuses to load.
type nothing struct{}

func (nothing) Load(string) (any, error) { return nil, errOutside }

var errOutside = errors.New("outside of the schema")

// pattern is a regular expression that counts its work.
type pattern struct {
	*regexp.Regexp
	size  int
	steps *steps
}

func (p *pattern) MatchString(s string) bool {
	p.steps.add(len(s) * p.size / 512)
	return p.Regexp.MatchString(s)
}

func (c *compiled) pattern(text string) (jsonschema.Regexp, error) {
	if len(text) > maxPattern {
		return nil, fmt.Errorf("has more than %d characters", maxPattern)
	}
	re, err := regexp.Compile(text)
	if err != nil {
		return nil, err
	}
	parsed, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return nil, err
	}
	prog, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		return nil, err
	}
	c.steps.add(len(prog.Inst)) // also for a pattern from a body, where the schema requires the format regex
	return &pattern{re, len(prog.Inst), c.steps}, nil
}

// knownFormats are the formats that the library checks.
var knownFormats = map[string]bool{
	"regex":                 true,
	"json-pointer":          true,
	"relative-json-pointer": true,
	"uuid":                  true,
	"duration":              true,
	"period":                true,
	"ipv4":                  true,
	"ipv6":                  true,
	"hostname":              true,
	"email":                 true,
	"date":                  true,
	"time":                  true,
	"date-time":             true,
	"uri":                   true,
	"iri":                   true,
	"uri-reference":         true,
	"iri-reference":         true,
	"uri-template":          true,
	"semver":                true,
}

// unknownFormats returns formats that the library would drop: they allow everything, but a comparison must know them.
func unknownFormats(doc any, seen map[string]bool) (out []*jsonschema.Format) {
	switch doc := doc.(type) {
	case map[string]any:
		if name, ok := doc["format"].(string); ok && !knownFormats[name] && !seen[name] {
			seen[name] = true
			out = append(out, &jsonschema.Format{Name: name, Validate: func(any) error { return nil }})
		}
		for _, v := range doc {
			out = append(out, unknownFormats(v, seen)...)
		}
	case []any:
		for _, v := range doc {
			out = append(out, unknownFormats(v, seen)...)
		}
	}
	return out
}

// explain converts a refusal of the library to a *Fault in plain words.
func explain(doc any, err error) error {
	var invalid *jsonschema.SchemaValidationError
	var verr *jsonschema.ValidationError
	var load *jsonschema.LoadURLError
	switch {
	case errors.As(err, &invalid) && errors.As(invalid.Err, &verr):
		return worst(verr)
	case errors.As(err, &load):
		return &Fault{pointer(outside(doc, nil)), "must refer to a part of this schema: nothing is loaded from elsewhere"}
	}
	return &Fault{"", "refers to a part that this schema does not have, or in a way that is not understood"}
}

// outside returns the place of a $ref that does not begin with #, or nil.
func outside(doc any, path []string) []string {
	switch doc := doc.(type) {
	case map[string]any:
		for _, word := range []string{"$ref", "$dynamicRef", "$schema"} {
			if ref, ok := doc[word].(string); ok && !strings.HasPrefix(ref, "#") && (word != "$schema" || len(path) > 0) {
				return append(path, word)
			}
		}
		for _, name := range sortedKeys(doc) {
			if found := outside(doc[name], append(path, name)); found != nil {
				return found
			}
		}
	case []any:
		for i, v := range doc {
			if found := outside(v, append(path, fmt.Sprint(i))); found != nil {
				return found
			}
		}
	}
	return nil
}

// check refuses schemas that the library accepts and this package does not; the first schema is the root.
func check(all []*jsonschema.Schema) error {
	for _, s := range all {
		if s.DraftVersion != jsonSchemaVersion {
			return &Fault{place(s), "must be of draft 2020-12 like the rest"}
		}
	}
	if err := circles(all); err != nil {
		return err
	}
	if conjunction(all[0]).types()&objects == 0 {
		return &Fault{"/type", "must allow an object: the data of an event is one"}
	}
	return nil
}

const jsonSchemaVersion = 2020

// circles refuses a schema that refers to itself without a step into the body: checking it would never end.
func circles(all []*jsonschema.Schema) error {
	const entered, left = 1, 2
	state := map[*jsonschema.Schema]int{}
	var visit func(*jsonschema.Schema) error
	visit = func(s *jsonschema.Schema) error {
		switch state[s] {
		case entered:
			return &Fault{place(s), "must not refer to itself without a step into the body"}
		case left:
			return nil
		}
		state[s] = entered
		for _, sub := range inPlace(s) {
			if err := visit(sub); err != nil {
				return err
			}
		}
		state[s] = left
		return nil
	}
	for _, s := range all {
		if err := visit(s); err != nil {
			return err
		}
	}
	return nil
}

// place returns the place of a sub-schema, as a pointer into the schema.
func place(s *jsonschema.Schema) string {
	_, at, _ := strings.Cut(s.Location, "#")
	return at
}
