package eventschema

import (
	"regexp"
	"regexp/syntax"
	"strings"
	"unicode/utf8"
)

// textOf returns a text of least to most characters that matches the pattern; false if none was found.
func textOf(pattern string, least, most int) (any, bool) {
	parsed, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return nil, false
	}
	re, err := regexp.Compile(pattern)
	if err != nil {
		return nil, false
	}
	fits := func(s string) bool {
		n := utf8.RuneCountInString(s)
		return least <= n && n <= most && re.MatchString(s)
	}
	shortest := ""
	for _, more := range []int{0, 1, 2, least} { // further repetitions of what may be repeated
		w := textWriter{more: more, left: maxExample}
		if !w.write(parsed) {
			continue
		}
		if fits(w.String()) {
			return w.String(), true
		}
		if more == 0 {
			shortest = w.String()
		}
	}
	longer := shortest + strings.Repeat("x", max(0, least-utf8.RuneCountInString(shortest)))
	return longer, fits(longer) // a pattern without an end may go on
}

// textWriter writes a text that matches an expression, with the least repetitions and more of what may be repeated.
type textWriter struct {
	strings.Builder
	more int
	left int // parts of expressions
}

// write returns false if there is no text, or only one that takes too long.
func (w *textWriter) write(re *syntax.Regexp) bool {
	if w.left--; w.left < 0 {
		return false
	}
	switch re.Op {
	case syntax.OpNoMatch:
		return false
	case syntax.OpLiteral:
		w.WriteString(string(re.Rune))
	case syntax.OpCharClass:
		return w.oneOf(re.Rune)
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		w.WriteByte('a')
	case syntax.OpCapture, syntax.OpAlternate:
		return w.write(re.Sub[0])
	case syntax.OpConcat:
		for _, sub := range re.Sub {
			if !w.write(sub) {
				return false
			}
		}
	case syntax.OpStar, syntax.OpQuest:
		return w.repeat(re, 0)
	case syntax.OpPlus:
		return w.repeat(re, 1)
	case syntax.OpRepeat:
		return w.repeat(re, re.Min)
	default: // an anchor, or nothing
	}
	return true
}

func (w *textWriter) repeat(re *syntax.Regexp, least int) bool {
	n := least + w.more
	switch {
	case re.Op == syntax.OpQuest:
		n = min(n, 1)
	case re.Op == syntax.OpRepeat && re.Max >= 0:
		n = min(n, re.Max)
	}
	for range n {
		if !w.write(re.Sub[0]) {
			return false
		}
	}
	return true
}

// oneOf writes a character of the class, given as pairs of bounds: one that people read, if it has one.
func (w *textWriter) oneOf(class []rune) bool {
	for _, r := range "a1Ab2B_- ." {
		for i := 0; i+1 < len(class); i += 2 {
			if class[i] <= r && r <= class[i+1] {
				w.WriteRune(r)
				return true
			}
		}
	}
	if len(class) == 0 {
		return false
	}
	w.WriteRune(class[0])
	return true
}
