package interviewsuite_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"greenroom/db"
)

// TestPatch_accepts_an_object_as_read: a client may read an object, change one field and send it all back (reference
// 2.1). Without a change no event is recorded.
func TestPatch_accepts_an_object_as_read(t *testing.T) {
	t.Parallel()
	e := newEvaluated(t)
	customers := fmt.Sprintf("/api/v3/companies/%d/customers/", e.company.Number)
	// As other surfaces create candidates: a name of one word, no e-mail address and no telephone number.
	bare := &db.Candidate{CompanyID: e.Company, FirstName: "Plato", JobIDs: []uuid.UUID{e.project.ID}}
	e.Tx(func(tx bun.Tx) error { return db.CreateCandidate(e.Ctx, tx, bare, false) })
	user := e.Do("POST", customers, object{"username": "nomail"}).Is(http.StatusCreated)
	require.Empty(t, user["email"])
	for _, path := range []string{
		fmt.Sprintf("/api/v3/companies/%d/", e.company.Number), pathOf(t, user["resource_uri"]), e.inProject, e.inCandidate,
		fmt.Sprintf("%scandidates/%d/", e.inProject, bare.Number), pathOf(t, e.answer["question"]), pathOf(t, e.answer["resource_uri"]),
		pathOf(t, e.rating["resource_uri"]), pathOf(t, e.note["resource_uri"]),
	} {
		read, before := e.Do("GET", path, nil).Is(http.StatusOK), e.events()
		require.Equal(t, read, e.Do("PATCH", path, read).Is(http.StatusAccepted), path)
		require.Equal(t, before, e.events(), path)
		require.Equal(t, read, e.Do("GET", path, nil).Is(http.StatusOK), path)
	}
	for path, change := range map[string]object{
		e.answer["resource_uri"].(string): {"duration": 7}, e.rating["resource_uri"].(string): {"value": 3.5},
		e.note["resource_uri"].(string): {"answer": nil}, e.answer["question"].(string): {"text": "Which?"},
	} {
		for field, value := range change {
			require.EqualValues(t, value, e.Do("PATCH", pathOf(t, path), change).Is(http.StatusAccepted)[field])
		}
	}
	require.Empty(t, e.Do("PATCH", pathOf(t, user["resource_uri"]), object{"email": ""}).Is(http.StatusAccepted)["email"])
}

func TestCandidate_keeps_its_required_fields(t *testing.T) {
	b := setup(t)
	p := b.project()
	for _, field := range []string{"first_name", "last_name", "email"} {
		refusedField(b.Do("POST", b.path(p)+"candidates/", ada(object{field: ""})), field, "This field may not be blank.")
	}
	c := b.path(b.candidate(p))
	for _, field := range []string{"first_name", "last_name", "email"} {
		refusedField(b.Do("PATCH", c, object{field: ""}), field, "This field may not be blank.")
		refusedField(b.Do("PATCH", c, object{field: nil}), field)
	}
}

// TestBadInputOfTheEvaluation is TestBadInputIsRefusedAndLeavesNothing for questions, videos, ratings and notes.
func TestBadInputOfTheEvaluation(t *testing.T) {
	t.Parallel()
	e := newEvaluated(t)
	for path, fields := range map[any]string{
		e.answer["question"]: "text position max_answer_time preparation_time", e.answer["resource_uri"]: "duration",
		e.rating["resource_uri"]: "question criterion answer value ignore", e.note["resource_uri"]: "text shared answer",
	} {
		path := pathOf(t, path)
		list := path[:strings.LastIndex(strings.TrimSuffix(path, "/"), "/")+1]
		for _, field := range strings.Fields(fields) {
			for _, value := range hostile {
				before := e.Do("GET", path, nil).Is(http.StatusOK)
				r := e.Do("PATCH", path, fmt.Sprintf(`{%q: %s}`, field, value))
				require.Contains(
					t,
					[]int{http.StatusAccepted, http.StatusBadRequest},
					r.Status,
					"%s: %s answered %s",
					field,
					value,
					r.Body,
				)
				if r.Status == http.StatusBadRequest {
					require.Equal(t, before, e.Do("GET", path, nil).Is(http.StatusOK), "%s: %s", field, value)
				}
				if strings.HasSuffix(list, "answervideos/") {
					continue
				}
				r = e.Do("POST", list, fmt.Sprintf(`{%q: %s}`, field, value))
				require.Contains(
					t,
					[]int{http.StatusCreated, http.StatusBadRequest},
					r.Status,
					"%s: %s answered %s",
					field,
					value,
					r.Body,
				)
			}
		}
	}
	t.Run("forms", func(t *testing.T) {
		for _, value := range []string{"", "\x00", "\xff", "-1", "0", "1e400", "9223372036854775808", "https://[::1", strings.Repeat("ü", 2000), "null"} {
			for _, field := range []string{"question", "duration"} {
				fields := []string{"question", fmt.Sprint(e.question.Number), field, value}
				r := e.upload("POST", e.inCandidate+"answervideos/", recording(100), fields...)
				require.Contains(
					t,
					[]int{http.StatusAccepted, http.StatusBadRequest},
					r.Status,
					"%s: %q answered %s",
					field,
					value,
					r.Body,
				)
			}
		}
		require.Len(t, e.swept(), 1)
	})
}

func TestQuestions_are_bounded(t *testing.T) {
	b := setup(t)
	list := b.path(b.project()) + "questions/"
	for range db.MaxQuestions {
		b.Do("POST", list, object{"text": "Why?"}).Is(http.StatusCreated)
	}
	refusedField(b.Do("POST", list, object{"text": "Why?"}), "non_field_errors", "A project has at most 50 questions.")
	require.Equal(t, http.StatusNoContent, b.Do("DELETE", list+"1/", nil).Status)
	b.Do("PATCH", list+"9/", object{"position": 10000}).Is(http.StatusAccepted)
	last := b.Do("POST", list, object{"text": "And?"}).Is(http.StatusCreated)
	b.Do("PATCH", b.path(last), last).Is(http.StatusAccepted)
	all := objects(t, b.Do("GET", list+"?page_size=100", nil))
	require.Equal(t, "And?", all[len(all)-1]["text"])
}
