package interviewsuite_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"greenroom/api/apitest"
)

// TestTexts_have_a_longest_length sends the longest text in each field, in characters of two bytes, and then one more.
func TestTexts_have_a_longest_length(t *testing.T) {
	t.Parallel()
	e := newEvaluated(t)
	company := pathOfCompany(e.company)
	eva := e.Do("POST", company+"customers/", object{"username": "eva"}).Is(http.StatusCreated)
	for path, fields := range map[string]map[string]int{
		company: {
			"name": 255, "city": 255, "country": 2048, "address": 1000, "state_province": 255, "division": 255, "phone": 64,
			"postcode": 32,
		},
		e.inProject: {"name": 255, "email_alias": 255, "mode": 64, "internal_id": 255, "contact_person": 255},
		e.inCandidate: {
			"first_name": 100, "last_name": 100, "username": 255, "phone": 64, "address": 1000,
		},
		pathOf(t, eva["resource_uri"]): {
			"username": 255, "first_name": 100, "last_name": 100, "preferred_language": 35, "phone": 64, "role": 255,
			"position": 255,
		},
		pathOf(t, e.answer["question"]):     {"text": 1000},
		pathOf(t, e.note["resource_uri"]):   {"text": 10000},
		pathOf(t, e.rating["resource_uri"]): {"criterion": 255},
	} {
		key := e.Key
		for field, most := range fields {
			longest := strings.Repeat("ü", most)
			shown := e.As(key, "PATCH", path, object{field: longest}).Is(http.StatusAccepted)
			require.Equal(t, longest, shown[field], "%s of %s", field, path)
			refusedField(e.As(key, "PATCH", path, object{field: longest + "x"}), field,
				fmt.Sprintf("%s must be at most %d characters.", field, most))
			require.Equal(t, shown, e.As(key, "GET", path, nil).Is(http.StatusOK), "the refused text is not stored")
		}
	}
}

func TestNumbers_have_bounds(t *testing.T) {
	t.Parallel()
	e := newEvaluated(t)
	for path, fields := range map[string]map[string][2]int{
		e.inProject: {
			"maximum_score": {1, 1000}, "max_interview_time": {1, 1440}, "default_interview_period": {1, 366},
		},
		pathOf(t, e.answer["question"]): {
			"position": {1, 10000}, "max_answer_time": {1, 86400}, "preparation_time": {0, 86400},
		},
		pathOf(t, e.answer["resource_uri"]): {"duration": {0, 86400}},
	} {
		for field, bounds := range fields {
			for _, inside := range bounds {
				require.EqualValues(t, inside, e.Do("PATCH", path, object{field: inside}).Is(http.StatusAccepted)[field], field)
			}
			refusedField(e.Do("PATCH", path, object{field: bounds[0] - 1}), field,
				fmt.Sprintf("%s must be at least %d.", field, bounds[0]))
			refusedField(e.Do("PATCH", path, object{field: bounds[1] + 1}), field,
				fmt.Sprintf("%s must be at most %d.", field, bounds[1]))
			refusedField(e.Do("PATCH", path, object{field: 1.5}), field, field+" must be an integer.")
		}
	}
}

// TestRating_is_bounded_by_the_projects_maximum_score covers the bound of each project.
func TestRating_is_bounded_by_the_projects_maximum_score(t *testing.T) {
	b := setup(t)
	for most, value := range map[int]float64{1: 1, 10: 9.75} {
		list := b.path(b.candidate(b.project(object{"maximum_score": most}))) + "ratings/"
		b.Do("POST", list, object{"value": 0}).Is(http.StatusCreated)
		made := b.Do("POST", list, object{"value": value}).Is(http.StatusCreated)
		sentence := fmt.Sprintf("value must be from 0 to %d, the project's maximum_score.", most)
		for _, bad := range []float64{float64(most) + 0.01, -0.01} {
			refusedField(b.Do("POST", list, object{"value": bad}), "value", sentence)
			refusedField(b.Do("PATCH", b.path(made), object{"value": bad}), "value", sentence)
		}
		require.Len(t, objects(t, b.Do("GET", list, nil)), 2)
		require.InDelta(t, value, b.Do("GET", b.path(made), nil).Is(http.StatusOK)["value"], 0)
	}
}

func TestProject_lists_have_a_longest_length(t *testing.T) {
	b := setup(t)
	p := b.path(b.project())
	eva := b.customer("eva", "recruiter")["user"]
	for field, tt := range map[string]struct {
		most int
		item any
	}{"evaluators": {200, eva}, "interview_managers": {200, eva}, "reviewers": {200, eva}, "labels": {100, "x"}} {
		b.Do("PATCH", p, object{field: slices.Repeat([]any{tt.item}, tt.most)}).Is(http.StatusAccepted)
		refusedField(b.Do("PATCH", p, object{field: slices.Repeat([]any{tt.item}, tt.most+1)}), field,
			fmt.Sprintf("%s must have at most %d items.", field, tt.most))
	}
	for _, bad := range []any{"", strings.Repeat("x", 2049), 1, nil} {
		refusedField(b.Do("PATCH", p, object{"labels": []any{"fine", bad}}), "labels")
	}
}

// counted returns the number of rows of each table that a request of this surface can add to.
func counted(t *testing.T, b *apitest.Bundle) map[string]int64 {
	t.Helper()
	counts := map[string]int64{}
	for _, table := range []string{
		"jobs", "candidates", "interviews", "agents", "staff", "api_keys", "questions", "answer_videos", "ratings", "notes", "vetos",
		"welcome_videos", "events", "commands",
	} {
		n, err := b.NewSelect().Table(table).Count(b.Ctx)
		require.NoError(t, err)
		counts[table] = n
	}
	return counts
}

func TestRefused_requests_add_no_row(t *testing.T) {
	t.Parallel()
	e := newEvaluated(t)
	company := pathOfCompany(e.company)
	second := e.ask("How?")
	closed := e.Do("POST", company+"projects/", object{"name": "Closed"}).Is(http.StatusCreated)
	require.Equal(t, http.StatusNoContent, e.Do("DELETE", pathOf(t, closed["resource_uri"]), nil).Status)
	for name, tt := range map[string]struct {
		path   string
		body   object
		status int
	}{
		"a_deadline_in_the_past": {e.inProject + "candidates/", ada(object{"deadline": "2020-01-01T00:00:00Z"}), 400},
		"a_deadline_in_two_years": {
			e.inProject + "candidates/", ada(object{"deadline": "2999-01-01T00:00:00Z"}), 400,
		},
		"a_deadline_that_is_no_time":      {e.inProject + "candidates/", ada(object{"deadline": "tomorrow"}), 400},
		"partner_data_that_is_no_object":  {e.inProject + "candidates/", ada(object{"partner_data": []int{1}}), 400},
		"an_email_of_255_characters":      {e.inProject + "candidates/", ada(object{"email": longEmail}), 400},
		"a_candidate_of_a_gone_project":   {pathOf(t, closed["candidates"]), ada(), 404},
		"a_user_with_a_short_password":    {company + "customers/", object{"username": "x", "password": "short"}, 400},
		"a_user_of_an_unknown_type":       {company + "customers/", object{"username": "x", "account_type": "boss"}, 400},
		"a_project_with_an_unknown_user":  {company + "projects/", object{"name": "x", "reviewers": []any{4711}}, 400},
		"a_project_with_a_bad_address":    {company + "projects/", object{"name": "x", "job_url": "ftp://x.test"}, 400},
		"a_question_of_a_gone_project":    {pathOf(t, closed["questions"]), object{"text": "Why?"}, 404},
		"a_rating_of_another_question":    {e.inCandidate + "ratings/", e.mismatched(second.Number), 400},
		"a_rating_of_an_unknown_question": {e.inCandidate + "ratings/", object{"value": 1, "question": 4711}, 400},
		"a_note_about_an_unknown_answer":  {e.inCandidate + "notes/", object{"text": "x", "answer": 4711}, 400},
		"a_status_that_is_unknown":        {e.inProject + "status/", object{"status": "paused"}, 400},
	} {
		t.Run(name, func(t *testing.T) {
			before := counted(t, e.Bundle)
			e.Do("POST", tt.path, tt.body).Is(tt.status)
			require.Equal(t, before, counted(t, e.Bundle))
		})
	}
}

var longEmail = strings.Repeat("x", 60) + "@" + strings.Repeat(strings.Repeat("y", 60)+".", 3) + "example.test"

// mismatched is a rating of the candidate's answer and of a question that it does not answer.
func (e *evaluated) mismatched(question int64) object {
	return object{"value": 1, "question": question, "answer": e.answer["resource_uri"]}
}
