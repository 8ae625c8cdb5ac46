package surface

import (
	"errors"
	"maps"
	"net/http"
	"strings"

	"github.com/agnivade/levenshtein"
)

// maxFaults bounds the faults of one body that a refusal names.
const maxFaults = 20

// Fault is one of several faults of a body.
type Fault struct {
	Field   string `json:"field"`
	Message string `json:"message"`
	code    string
}

// Missing reports whether the fault is that a required field is not there.
func (f Fault) Missing() bool { return f.code == CodeMissing }

// Faults joins the refusals among errs, so that a caller sees all faults of the body at once. An error that is no
// refusal is returned alone, and so is one that is not about the body, such as a denial.
func Faults(errs ...error) error {
	var faults []error
	for _, err := range errs {
		if err == nil {
			continue
		}
		if refused, is := errors.AsType[*Error](err); !is || refused.Status != http.StatusBadRequest {
			return err
		}
		faults = append(faults, err)
	}
	if len(faults) == 1 {
		return faults[0]
	}
	return errors.Join(faults...)
}

// Faults are all faults of a body; none if the refusal is not about a field.
func (e *Error) Faults() []Fault {
	if faults, several := e.Details["errors"].([]Fault); several {
		return faults
	}
	if e.Field() == "" {
		return nil
	}
	return []Fault{{e.Field(), e.Message, e.Code}}
}

// gathered returns the first refusal in err and, if several faults of the body are joined, lists all in its details.
func gathered(err error) *Error {
	var all []*Error
	if !refusalsIn(err, &all) || len(all) == 0 {
		return nil
	}
	if len(all) == 1 {
		return all[0]
	}
	first := *all[0]
	first.Details = maps.Clone(first.Details)
	faults := make([]Fault, len(all))
	for i, e := range all {
		faults[i] = Fault{e.Field(), e.Message, e.Code}
	}
	if first.Details == nil {
		first.Details = Details{}
	}
	first.Details["errors"] = faults
	return &first
}

// refusalsIn adds the refusals that are joined in err, up to maxFaults. It is false if err has another error.
func refusalsIn(err error, all *[]*Error) bool {
	switch e := err.(type) { //nolint:errorlint // it walks the tree itself
	case *Error:
		if len(*all) < maxFaults {
			*all = append(*all, e)
		}
		return true
	case interface{ Unwrap() []error }:
		for _, one := range e.Unwrap() {
			if !refusalsIn(one, all) {
				return false
			}
		}
		return true
	case interface{ Unwrap() error }:
		return refusalsIn(e.Unwrap(), all)
	}
	return false
}

// unknown refuses a field that a body does not have, and names the one that may be meant.
func unknown(path, name string, known []field) *Error {
	message := join(path, name) + " is not a known field"
	if near := nearest(name, known); near != "" {
		message += "; did you mean " + join(path, near) + "?"
	}
	return Invalid(join(path, name), message)
}

// leastPart is the shortest name that counts as a part of another.
const leastPart = 4

// nearest returns the field with the same letters as name, with name as a part (title: jobTitle), or with one letter or
// two others; "" if there is none.
func nearest(name string, known []field) string {
	plain := func(s string) string { return strings.ToLower(strings.NewReplacer("_", "", "-", "").Replace(s)) }
	wanted := plain(name)
	tests := []func(string) bool{
		func(s string) bool { return s == wanted },
		func(s string) bool {
			return min(len(s), len(wanted)) >= leastPart && (strings.HasSuffix(s, wanted) || strings.HasSuffix(wanted, s) ||
				strings.HasPrefix(s, wanted) || strings.HasPrefix(wanted, s))
		},
		func(s string) bool {
			return len(wanted) >= leastPart && len(wanted) <= longestName && levenshtein.ComputeDistance(s, wanted) <= 2
		},
	}
	for _, test := range tests {
		for _, f := range known {
			if test(plain(f.name)) {
				return f.name
			}
		}
	}
	return ""
}

// longestName bounds the work for a name that a client sent.
const longestName = 40
