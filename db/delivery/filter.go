package delivery

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// A webhook's filter selects among the events that it is subscribed to, by their content: {"data": {"status":
// "COMPLETED", "rating": {"$gte": 80}}}. An object names members that must all match, a value must be equal, and an
// object of operators is a condition. "$and", "$or" and "$not" combine filters. A member of an array matches when one
// of its elements does.
//
// It is stored as a JSON path of PostgreSQL, which the statement that makes deliveries evaluates. So it is checked
// once, when it is registered, and reads the data without changing a byte of it.

// Limits of a filter, so that no event costs much.
const (
	FilterBytes      = 4096
	filterDepth      = 8
	filterConditions = 50
)

// FilterError refuses a filter. Path is where, as in data.status.$in.
type FilterError struct{ Path, Message string }

func (e *FilterError) Error() string {
	if e.Path == "" {
		return "filter " + e.Message
	}
	return "filter: " + e.Path + " " + e.Message
}

// filterRoots are the members of an event that a filter may name.
var filterRoots = []string{"type", "data", "context"}

// CompileFilter checks a filter and returns it as a JSON path, or a FilterError.
func CompileFilter(raw json.RawMessage) (path string, err error) {
	if len(raw) > FilterBytes {
		return "", &FilterError{Message: fmt.Sprintf("must have at most %d bytes", FilterBytes)}
	}
	root, err := object(raw)
	if err != nil {
		return "", &FilterError{Message: err.Error()}
	}
	c := &filterCompiler{}
	return c.filter(root, "$", "", 1)
}

type filterCompiler struct{ conditions int }

// filter compiles members that must all match. at is the JSON path of what they are members of, named is the same for
// errors.
func (c *filterCompiler) filter(members map[string]json.RawMessage, at, named string, depth int) (string, error) {
	if len(members) == 0 {
		return "", refuseFilter(named, "must not be empty")
	}
	if depth > filterDepth {
		return "", refuseFilter(named, fmt.Sprintf("is nested deeper than %d", filterDepth))
	}
	var all []string
	for _, name := range slices.Sorted(maps.Keys(members)) {
		condition, err := c.member(name, members[name], at, named, depth)
		if err != nil {
			return "", err
		}
		all = append(all, condition)
	}
	return combine(all, " && "), nil
}

func (c *filterCompiler) member(name string, value json.RawMessage, at, named string, depth int) (string, error) {
	here := strings.TrimPrefix(named+"."+name, ".")
	switch name {
	case "$and":
		return c.list(value, at, here, " && ", depth)
	case "$or":
		return c.list(value, at, here, " || ", depth)
	case "$not":
		members, err := object(value)
		if err != nil {
			return "", refuseFilter(here, err.Error())
		}
		inner, err := c.filter(members, at, here, depth+1)
		return negate(inner), err
	}
	if strings.HasPrefix(name, "$") {
		return "", refuseFilter(here, "is no operator here: the operators are "+strings.Join(operatorNames(), ", "))
	}
	if at == "$" && !slices.Contains(filterRoots, name) {
		return "", refuseFilter(here, "is not a member of an event: name "+strings.Join(filterRoots, ", "))
	}
	quoted, err := json.Marshal(name)
	if err != nil {
		return "", err
	}
	return c.value(value, at+"."+string(quoted), here, depth)
}

// list compiles filters of the same members.
func (c *filterCompiler) list(value json.RawMessage, at, here, operator string, depth int) (string, error) {
	var items []json.RawMessage
	if json.Unmarshal(value, &items) != nil || len(items) == 0 {
		return "", refuseFilter(here, "must be an array of filters")
	}
	var all []string
	for i, item := range items {
		place := fmt.Sprintf("%s[%d]", here, i)
		members, err := object(item)
		if err != nil {
			return "", refuseFilter(place, err.Error())
		}
		condition, err := c.filter(members, at, place, depth+1)
		if err != nil {
			return "", err
		}
		all = append(all, condition)
	}
	return combine(all, operator), nil
}

// value compiles what a member must be: a value, a condition, or an object with members of its own.
func (c *filterCompiler) value(value json.RawMessage, at, here string, depth int) (string, error) {
	members, err := object(value)
	if err != nil {
		return c.operator("$eq", value, at, here)
	}
	operators := 0
	for name := range members {
		if _, is := filterOperators[name]; is {
			operators++
		}
	}
	if operators == 0 {
		return c.filter(members, at, here, depth+1)
	}
	if operators < len(members) {
		return "", refuseFilter(here, "must have operators alone, or members alone")
	}
	var all []string
	for _, name := range slices.Sorted(maps.Keys(members)) {
		condition, err := c.operator(name, members[name], at, here+"."+name)
		if err != nil {
			return "", err
		}
		all = append(all, condition)
	}
	return combine(all, " && "), nil
}

func (c *filterCompiler) operator(name string, value json.RawMessage, at, here string) (string, error) {
	if c.conditions++; c.conditions > filterConditions {
		return "", refuseFilter(here, fmt.Sprintf("is beyond the limit of %d conditions", filterConditions))
	}
	condition, reason := filterOperators[name](c, at, value)
	if reason != "" {
		return "", refuseFilter(here, reason)
	}
	return condition, nil
}

// filterOperators compile a condition, or say what its operand must be.
var filterOperators map[string]func(c *filterCompiler, at string, operand json.RawMessage) (condition, reason string)

func init() { //nolint:gochecknoinits // $in counts conditions with the compiler, which looks operators up
	filterOperators = map[string]func(*filterCompiler, string, json.RawMessage) (string, string){
		"$eq": compares("==", "null, a boolean, a number or a string", scalarOperand),
		"$ne": func(c *filterCompiler, at string, operand json.RawMessage) (string, string) {
			condition, reason := filterOperators["$eq"](c, at, operand)
			return negate(condition), reason
		},
		"$in":         oneOfOperands,
		"$gt":         compares(">", orderedText, orderedOperand),
		"$gte":        compares(">=", orderedText, orderedOperand),
		"$lt":         compares("<", orderedText, orderedOperand),
		"$lte":        compares("<=", orderedText, orderedOperand),
		"$startsWith": compares("starts with", "a string", textOperand),
		"$exists": func(_ *filterCompiler, at string, operand json.RawMessage) (string, string) {
			switch string(operand) {
			case "true":
				return "exists(" + at + ")", ""
			case "false":
				return "!exists(" + at + ")", ""
			}
			return "", "must be true or false"
		},
	}
}

const orderedText = "a number or a string"

func operatorNames() []string {
	return append([]string{"$and", "$or", "$not"}, slices.Sorted(maps.Keys(filterOperators))...)
}

func compares(
	operator, what string, valid func(json.RawMessage) bool,
) func(*filterCompiler, string, json.RawMessage) (string, string) {
	return func(_ *filterCompiler, at string, operand json.RawMessage) (condition, reason string) {
		if !valid(operand) {
			return "", "must be " + what
		}
		return "(" + at + " " + operator + " " + string(operand) + ")", ""
	}
}

func oneOfOperands(c *filterCompiler, at string, operand json.RawMessage) (condition, reason string) {
	var items []json.RawMessage
	if json.Unmarshal(operand, &items) != nil || len(items) == 0 || slices.ContainsFunc(items, isNoScalar) {
		return "", "must be an array of values that are null, booleans, numbers or strings"
	}
	c.conditions += len(items) - 1
	if c.conditions > filterConditions {
		return "", fmt.Sprintf("is beyond the limit of %d conditions", filterConditions)
	}
	all := make([]string, len(items))
	for i, item := range items {
		all[i] = "(" + at + " == " + string(item) + ")"
	}
	return combine(all, " || "), ""
}

func scalarOperand(operand json.RawMessage) bool {
	return len(operand) > 0 && operand[0] != '{' && operand[0] != '['
}

func isNoScalar(operand json.RawMessage) bool { return !scalarOperand(operand) }

func textOperand(operand json.RawMessage) bool { return len(operand) > 0 && operand[0] == '"' }

func orderedOperand(operand json.RawMessage) bool {
	return textOperand(operand) || json.Unmarshal(operand, new(json.Number)) == nil && string(operand) != "null"
}

func combine(all []string, operator string) string {
	if len(all) == 1 {
		return all[0]
	}
	return "(" + strings.Join(all, operator) + ")"
}

// negate is true where a condition is false, and where it is unknown because it compares values of different kinds. It
// evaluates the condition once: to write it twice would double the cost with each $not around another.
func negate(condition string) string {
	return "!exists($ ? (" + condition + "))"
}

func refuseFilter(path, message string) error { return &FilterError{path, message} }

var errNoObject = errors.New("must be an object")

// object returns the members of a JSON object, each as it would be written without spaces.
func object(raw json.RawMessage) (members map[string]json.RawMessage, err error) {
	var compact bytes.Buffer
	if err := json.Compact(&compact, raw); err != nil || compact.Len() == 0 || compact.Bytes()[0] != '{' {
		return nil, errNoObject
	}
	if err := json.Unmarshal(compact.Bytes(), &members); err != nil {
		return nil, errNoObject
	}
	return members, nil
}

// filterMatches is an SQL condition: a filter's path, if there is one, matches an event.
func filterMatches(path, eventType, data, described string) string {
	return "(" + path + " IS NULL OR COALESCE(jsonb_path_match(jsonb_build_object('type', " + eventType + ", 'data', (" +
		data + ")::jsonb, 'context', (" + described + ")::jsonb), " + path + ", '{}', true), false))"
}
