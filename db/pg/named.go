package pg

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"

	"github.com/uptrace/bun/schema"
)

// Args are the arguments of a statement by name. A statement for Bun writes ?name and gets Args as its only argument.
// A Statement, for Direct, writes @name.
type Args map[string]any

// AppendNamedArg implements schema.NamedArgAppender.
func (a Args) AppendNamedArg(gen schema.QueryGen, b []byte, name string) ([]byte, bool) {
	value, ok := a[name]
	if !ok {
		return b, false // the statement keeps ?name, which PostgreSQL refuses
	}
	return gen.Append(b, value), true
}

// Statement is SQL with named parameters, for Direct. Its text is rewritten once: pgx.NamedArgs parses it in each call,
// which costs tens of microseconds for the large statements of the delivery path.
type Statement struct {
	// SQL has PostgreSQL's own parameters, $1 and so on, in the order in which the names first appear.
	SQL   string
	names []string
}

var parameter = regexp.MustCompile(`@[a-z_]+`)

// Named reads a statement in which each @name is a parameter, in comments and literals too. A name may appear more than
// once.
func Named(text string) Statement {
	var s Statement
	s.SQL = parameter.ReplaceAllStringFunc(text, func(p string) string {
		name := p[1:]
		i := slices.Index(s.names, name)
		if i < 0 {
			i = len(s.names)
			s.names = append(s.names, name)
		}
		return "$" + strconv.Itoa(i+1)
	})
	return s
}

// Args returns the arguments in the order of the parameters. It panics unless values has exactly the statement's names.
func (s Statement) Args(values Args) []any {
	args := make([]any, len(s.names))
	for i, name := range s.names {
		value, ok := values[name]
		if !ok {
			panic(fmt.Sprintf("pg: no value for @%s", name))
		}
		args[i] = value
	}
	if len(values) != len(s.names) {
		panic(fmt.Sprintf("pg: values %v for parameters %v", values, s.names))
	}
	return args
}
