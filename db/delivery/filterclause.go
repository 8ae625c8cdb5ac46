package delivery

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// FilterClause is a part of a filter: a filter matches when all its clauses do.
type FilterClause struct {
	// Name is where it is in the filter, as in data.rating.$gte or data.$or.
	Name string
	// Path is the clause alone, as a JSON path.
	Path string
}

// FilterClauses returns the clauses of a filter in the order of its path, or its FilterError.
func FilterClauses(raw json.RawMessage) ([]FilterClause, error) {
	if _, err := CompileFilter(raw); err != nil {
		return nil, err
	}
	root, err := object(raw)
	if err != nil {
		return nil, err
	}
	return new(filterCompiler).clauses(root, "$", "")
}

// clauses takes the members of a valid filter apart. What $or and $not combine stays one clause.
func (c *filterCompiler) clauses(members map[string]json.RawMessage, at, named string) (all []FilterClause, err error) {
	for _, name := range slices.Sorted(maps.Keys(members)) {
		here := strings.TrimPrefix(named+"."+name, ".")
		parts, err := c.partsOf(name, members[name], at, here)
		if err != nil {
			return nil, err
		}
		if parts == nil {
			path, err := c.member(name, members[name], at, named, 1)
			if err != nil {
				return nil, err
			}
			parts = []FilterClause{{here, path}}
		}
		all = append(all, parts...)
	}
	return all, nil
}

// partsOf returns the clauses of a member that is itself a combination of clauses; nil: it is one clause.
func (c *filterCompiler) partsOf(name string, value json.RawMessage, at, here string) (all []FilterClause, err error) {
	if name == "$and" {
		var items []json.RawMessage
		if err := json.Unmarshal(value, &items); err != nil {
			return nil, err
		}
		for i, item := range items {
			members, err := object(item)
			if err != nil {
				return nil, err
			}
			parts, err := c.clauses(members, at, fmt.Sprintf("%s[%d]", here, i))
			if err != nil {
				return nil, err
			}
			all = append(all, parts...)
		}
		return all, nil
	}
	members, err := object(value)
	if err != nil || strings.HasPrefix(name, "$") {
		return nil, nil //nolint:nilerr // a value is one clause
	}
	quoted, err := json.Marshal(name)
	if err != nil {
		return nil, err
	}
	at += "." + string(quoted)
	for member := range members {
		if _, is := filterOperators[member]; !is {
			return c.clauses(members, at, here)
		}
	}
	for _, operator := range slices.Sorted(maps.Keys(members)) {
		path, err := c.operator(operator, members[operator], at, here+"."+operator)
		if err != nil {
			return nil, err
		}
		all = append(all, FilterClause{here + "." + operator, path})
	}
	return all, nil
}
