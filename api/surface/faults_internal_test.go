package surface

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFaults_are_gathered(t *testing.T) {
	t.Parallel()
	type input struct {
		Name  string   `json:"name"  validate:"required,max=3"`
		Words []string `json:"words" validate:"dive,max=2"`
		Inner struct {
			Count int `json:"count" validate:"gte=1"`
		} `json:"inner"`
	}
	_, err := Decode[input]([]byte(`{"words":["abc","a","def"],"inner":{"count":0,"sum":1},"other":1}`))
	refused := gathered(err)
	require.Equal(t, "other", refused.Field(), "the first is the refusal")
	var texts []string
	for _, f := range refused.Faults() {
		texts = append(texts, f.Field+": "+f.Message)
	}
	require.Equal(t, []string{
		"other: other is not a known field", "name: name is required", "words[0]: words[0] must be at most 2 characters",
		"words[2]: words[2] must be at most 2 characters", "inner.sum: inner.sum is not a known field",
		"inner.count: inner.count must be at least 1",
	}, texts)
	require.True(t, refused.Faults()[1].Missing())

	many := `{"name":"x","words":["` + strings.Repeat(`abc","`, 100) + `abc"]}`
	_, err = Decode[input]([]byte(many))
	require.Len(t, gathered(err).Faults(), maxFaults)

	_, err = Decode[input]([]byte(`{"name":"long"}`))
	require.Nil(t, gathered(err).Details["errors"], "one fault is as it was")
	require.Len(t, gathered(err).Faults(), 1)
}

func TestFaults_do_not_hide_other_errors(t *testing.T) {
	t.Parallel()
	fault, broken := Invalid("a", "a is wrong"), errors.New("the database is away")
	denied := &Error{Status: http.StatusForbidden, Code: CodeDenied}
	require.NoError(t, Faults(nil, nil))
	require.Equal(t, error(fault), Faults(nil, fault))
	require.Equal(t, broken, Faults(fault, broken))
	require.Equal(t, error(denied), Faults(fault, denied), "who may not do it learns no more")
	require.Nil(t, gathered(errors.Join(fault, broken)))
	require.Equal(t, fault, gathered(fmt.Errorf("create: %w", fault)))
	require.Nil(t, gathered(broken))
	before := len(fault.Details)
	gathered(errors.Join(fault, fault))
	require.Len(t, fault.Details, before, "a shared refusal is not changed")
}

func TestUnknown_field_names_the_one_that_is_meant(t *testing.T) {
	t.Parallel()
	known := []field{{name: "jobTitle"}, {name: "firstName"}, {name: "events"}, {name: "url"}}
	for sent, want := range map[string]string{
		"title": "jobTitle", "first_name": "firstName", "Events": "events", "event": "events", "evnets": "events",
		"job": "", "uri": "", "colour": "", strings.Repeat("x", 1000): "",
	} {
		require.Equal(t, want, nearest(sent, known), sent)
	}
	require.Equal(t, "job.title is not a known field; did you mean job.jobTitle?", unknown("job", "title", known).Message)
}
