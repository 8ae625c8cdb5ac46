package interviewsuite

import (
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"greenroom/api/surface"
)

// uri returns an absolute address under /api/v3; format ends with a slash. All addresses in answers are built with the
// functions here, so they match the routes.
func (s *server) uri(format string, args ...any) string {
	return s.PublicURL + "/api/v3/" + fmt.Sprintf(format, args...)
}

func (s *server) companyURI(company int64) string { return s.uri("companies/%d/", company) }

func (s *server) customerURI(company, customer int64) string {
	return s.uri("companies/%d/customers/%d/", company, customer)
}

func (s *server) projectURI(company, project int64) string {
	return s.uri("companies/%d/projects/%d/", company, project)
}

func (s *server) candidateURI(company, project, candidate int64) string {
	return s.uri("companies/%d/projects/%d/candidates/%d/", company, project, candidate)
}

// referenceForm matches the path of a resource's address. The host is ignored, because a server may have several names.
var referenceForm = regexp.MustCompile(`^/api/v3/companies/([0-9]+)/(?:projects/[0-9]+/)?([a-z]+)/([0-9]+)/?$`)

// reference parses a body's reference to a row: the address that answers show, or the integer id. kind is the
// collection in the address, such as "customers"; company is the number that the address must have. ok is false for
// anything else.
func reference(raw json.RawMessage, company int64, kind string) (number int64, ok bool) {
	if json.Unmarshal(raw, &number) == nil {
		return number, number > 0
	}
	var text string
	if json.Unmarshal(raw, &text) != nil {
		return 0, false
	}
	return textReference(text, company, kind)
}

// textReference is reference for a form field.
func textReference(text string, company int64, kind string) (number int64, ok bool) {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n, n > 0
	}
	u, err := url.Parse(text)
	if err != nil {
		return 0, false
	}
	m := referenceForm.FindStringSubmatch(u.Path)
	if m == nil || m[1] != strconv.FormatInt(company, 10) || m[2] != kind {
		return 0, false
	}
	number, err = strconv.ParseInt(m[3], 10, 64)
	return number, err == nil && number > 0
}

// badReference refuses a reference to a missing row, with the framework's message.
func badReference(field string) *surface.Error {
	return surface.Invalid(field, "Invalid hyperlink - Object does not exist")
}

// stamp formats a time as this product shows it: UTC, whole seconds, Z.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }

func optionalStamp(t *time.Time) *string {
	if t == nil {
		return nil
	}
	text := stamp(*t)
	return &text
}

// date parses a date, or a time, whose UTC day it returns; clients of this product send either.
func date(field, text string) (string, error) {
	day := text
	if strings.Contains(text, "T") {
		t, reason := surface.ParseTime(text)
		if reason != "" {
			return "", surface.Invalid(field, field+" "+reason)
		}
		day = t.Format(time.DateOnly)
	}
	if t, err := time.Parse(time.DateOnly, day); err != nil || t.Year() < 1970 {
		return "", surface.Invalid(field, field+" must be a date like 2016-11-01, from 1970 on")
	}
	return day, nil
}
