package interviewsuite_test

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"greenroom/api/apitest"
	"greenroom/db"
	"greenroom/db/catalog"
)

// evaluated is a studio whose candidate has answered and finished, with ratings and notes of two users.
type evaluated struct {
	*studio
	ada, bob                            string // tokens of recruiters
	answer, rating, private, note, veto apitest.Object
}

func newEvaluated(t *testing.T) *evaluated {
	t.Helper()
	e := &evaluated{studio: newStudio(t)}
	interview := e.interview()
	e.answer = e.studio.answer(e.question, recording(500))
	e.Tx(func(tx bun.Tx) error { _, err := db.FinishInterview(e.Ctx, tx, interview.ID, db.Finish{}); return err })
	e.ada, e.bob = e.token("ada", db.Recruiter), e.token("bob", db.Recruiter)
	e.rating = e.As(e.ada, "POST", e.inCandidate+"ratings/", apitest.Object{
		"answer": e.answer["resource_uri"], "criterion": "skill " + apitest.Marker, "value": 4,
	}).Is(http.StatusCreated)
	e.private = e.As(e.ada, "POST", e.inCandidate+"notes/", apitest.Object{"text": "Ada's own"}).Is(http.StatusCreated)
	e.note = e.As(e.ada, "POST", e.inCandidate+"notes/", apitest.Object{
		"text": "Convincing " + apitest.Marker, "shared": true, "answer": e.answer["resource_uri"],
	}).Is(http.StatusCreated)
	e.Do("PATCH", e.inProject, apitest.Object{"veto_enabled": true}).Is(http.StatusAccepted)
	e.veto = e.As(e.ada, "POST", e.inCandidate+"vetos/", apitest.Object{"comment": "Has left before " + apitest.Marker}).
		Is(http.StatusCreated)
	return e
}

// TestReference_evaluation covers the reference's statements about questions, videos, ratings and notes.
func TestReference_evaluation(t *testing.T) {
	t.Parallel()
	e := newEvaluated(t)
	results := e.inProject + "results/"
	e.As(e.bob, "POST", e.inCandidate+"ratings/", apitest.Object{"question": e.question.Number, "value": 1.5}).
		Is(http.StatusCreated)
	e.As(e.bob, "POST", e.inCandidate+"ratings/", apitest.Object{"value": 5, "ignore": true}).Is(http.StatusCreated)

	t.Run("1.4_answervideo_changed_rating_changed_and_note_changed_are_recorded", func(t *testing.T) {
		for _, event := range []string{catalog.AnswerVideoCreated, catalog.RatingCreated, catalog.NoteCreated} {
			assert.Contains(t, e.events(), event)
		}
	})
	t.Run("2.1_a_list_has_meta_and_objects_and_pages", func(t *testing.T) {
		var list struct {
			Meta    map[string]any
			Objects []apitest.Object
		}
		e.Do("GET", e.inCandidate+"ratings/?page=2&page_size=2", nil).Into(http.StatusOK, &list)
		assert.Len(t, list.Objects, 1)
		assert.EqualValues(t, 3, list.Meta["total_count"])
		assert.Nil(t, list.Meta["next"])
		previous := pathOf(t, list.Meta["previous"])
		e.Do("GET", previous, nil).Into(http.StatusOK, &list)
		assert.Len(t, list.Objects, 2)
		assert.NotNil(t, list.Meta["next"])
	})
	t.Run("2.1_patch_takes_any_fields_and_answers_202", func(t *testing.T) {
		changed := e.As(e.ada, "PATCH", pathOf(t, e.private["resource_uri"]), apitest.Object{"text": "Still Ada's own"}).
			Is(http.StatusAccepted)
		assert.Equal(t, "Still Ada's own", changed["text"])
		assert.Equal(t, false, changed["shared"])
	})
	t.Run("2.1_references_are_absolute_and_resolve_with_the_same_token", func(t *testing.T) {
		for _, path := range []string{
			results, e.inCandidate + "ratings/", e.inCandidate + "notes/", e.inCandidate + "answervideos/", e.inProject + "questions/",
		} {
			resolve(t, e, path, map[string]bool{})
		}
	})
	t.Run("2.7_results_are_read_only", func(t *testing.T) {
		for _, method := range []string{"POST", "PUT", "PATCH", "DELETE"} {
			assert.Equal(t, http.StatusMethodNotAllowed, e.Do(method, results, apitest.Object{}).Status, method)
		}
	})
	t.Run("2.7_one_object_per_candidate_who_finished_and_whose_evaluation_began", func(t *testing.T) {
		e.apply("Not interviewed")
		require.Len(t, objects(t, e.Do("GET", results, nil)), 1)
	})
	one := e.Do("GET", fmt.Sprintf("%s%d/", results, e.candidate.Number), nil).Is(http.StatusOK)
	t.Run("2.7_fields", func(t *testing.T) {
		assert.Equal(t, fmt.Sprintf("%s%s%d/", apitest.PublicURL, results, e.candidate.Number), one["resource_uri"])
		assert.Equal(t, apitest.PublicURL+e.inCandidate, one["candidate"])
		assert.InDelta(t, 2.75, one["overall_rating"], 1e-9, "(4 + 1.5) / 2: ignored ratings do not count")
		assert.Equal(
			t,
			[]any{apitest.Object{"question": e.answer["question"], "average_rating": 2.75}},
			one["question_results"],
		)
		assert.Equal(
			t,
			[]any{apitest.Object{"criterion": "skill " + apitest.Marker, "average_rating": 4.0}},
			one["criteria_results"],
		)
		assert.Equal(t, []any{apitest.Object{
			"resource_uri": e.veto["resource_uri"], "comment": "Has left before " + apitest.Marker,
			"candidate": apitest.PublicURL + e.inCandidate, "evaluator": e.rating["evaluator_profile"],
		}}, one["vetos"])
	})
	t.Run("2.7_ratings", func(t *testing.T) {
		ratings := one["ratings"].([]any)
		require.Len(t, ratings, 3)
		assert.Equal(t, apitest.Object{
			"resource_uri":      e.rating["resource_uri"],
			"question":          e.answer["question"],
			"criterion":         "skill " + apitest.Marker,
			"answer":            e.answer["resource_uri"],
			"evaluator_profile": e.rating["evaluator_profile"],
			"value":             4.0,
			"ignore":            false,
		}, ratings[0])
		assert.Equal(t, true, ratings[2].(apitest.Object)["ignore"])
	})
	t.Run("2.7_notes", func(t *testing.T) {
		assert.Equal(t, []any{apitest.Object{
			"resource_uri": e.note["resource_uri"], "text": "Convincing " + apitest.Marker, "shared": true,
			"answer": e.answer["resource_uri"], "evaluator_profile": e.note["customer"],
		}}, one["notes"], "those that are not shared are their author's")
	})
	t.Run("2.8_welcome_videos_are_listed_and_uploaded_as_multipart", func(t *testing.T) {
		list := fmt.Sprintf("/api/v3/companies/%d/videos/", e.company.Number)
		made := e.upload("POST", list, recording(3000)).Is(http.StatusCreated)
		assert.Equal(t, []apitest.Object{made}, objects(t, e.Do("GET", list, nil)))
		assert.Len(t, e.Do("GET", pathOf(t, made["file"]), nil).Body, 3000)
		assert.Contains(t, e.upload("POST", list, []byte("no video")).Is(http.StatusBadRequest), "file")
		require.Len(t, e.swept(), 2)
		assert.Equal(t, http.StatusNoContent, e.Do("DELETE", pathOf(t, made["resource_uri"]), nil).Status)
		assert.Equal(t, http.StatusNotFound, e.Do("GET", pathOf(t, made["file"]), nil).Status)
		require.Len(t, e.swept(), 1)
	})
	t.Run("2.9_paths_end_with_a_slash", func(t *testing.T) {
		assert.Equal(t, http.StatusNotFound, e.Do("GET", strings.TrimSuffix(results, "/"), nil).Status)
	})
}

// ours matches the resources whose references are followed; other tests cover the rest.
var ours = regexp.MustCompile(`/(questions|answervideos|ratings|notes|vetos|results)/([0-9]+/)?$`)

// resolve follows every reference in an answer, recursively.
func resolve(t *testing.T, e *evaluated, path string, seen map[string]bool) {
	t.Helper()
	if seen[path] {
		return
	}
	seen[path] = true
	r := e.As(e.ada, "GET", path, nil)
	require.Equal(t, http.StatusOK, r.Status, "%s: %s", path, r.Body)
	if !ours.MatchString(path) {
		return
	}
	for _, quoted := range strings.Split(string(r.Body), `"`) {
		if next, is := strings.CutPrefix(quoted, apitest.PublicURL+"/api/v3"); is {
			resolve(t, e, "/api/v3"+next, seen)
		}
	}
}

func TestRatings(t *testing.T) {
	t.Parallel()
	e := newEvaluated(t)
	own := pathOf(t, e.rating["resource_uri"])
	assert.Equal(t, e.answer["question"], e.rating["question"], "a rating of an answer also rates its question")
	assert.NotNil(t, e.rating["evaluator_profile"])
	assert.Equal(t, e.rating, e.Do("GET", own, nil).Is(http.StatusOK))

	changed := e.As(e.ada, "PATCH", own, apitest.Object{"value": 3, "ignore": true, "answer": nil, "evaluator_profile": "x"}).
		Is(http.StatusAccepted)
	assert.InDelta(t, 3, changed["value"], 0)
	assert.Nil(t, changed["answer"])
	assert.Equal(t, e.rating["question"], changed["question"])
	assert.Equal(t, e.rating["evaluator_profile"], changed["evaluator_profile"], "read only")

	for name, body := range map[string]apitest.Object{
		"value":     {"criterion": "skill"},
		"question":  {"value": 1, "question": "http://elsewhere.test/"},
		"answer":    {"value": 1, "answer": 4711},
		"criterion": {"value": 1, "criterion": ""},
		"ignore":    {"value": 1, "ignore": "no"},
	} {
		assert.Contains(t, e.Do("POST", e.inCandidate+"ratings/", body).Is(http.StatusBadRequest), name)
	}
	for _, value := range []any{-1, 5.01, "4", nil} {
		assert.Contains(
			t,
			e.Do("POST", e.inCandidate+"ratings/", apitest.Object{"value": value}).Is(http.StatusBadRequest),
			"value",
			"%v",
			value,
		)
	}
	second := e.ask("How?")
	assert.Contains(t, e.Do("POST", e.inCandidate+"ratings/", apitest.Object{
		"value": 1, "question": second.Number, "answer": e.answer["resource_uri"],
	}).Is(http.StatusBadRequest), "answer", "not an answer to that question")

	t.Run("others_may_not_change_it", func(t *testing.T) {
		e.As(e.bob, "PATCH", own, apitest.Object{"value": 1}).Is(http.StatusForbidden)
		e.As(e.bob, "DELETE", own, nil).Is(http.StatusForbidden)
	})
	t.Run("administrators_may", func(t *testing.T) {
		e.As(e.token("root", db.Admin), "PATCH", own, apitest.Object{"value": 2}).Is(http.StatusAccepted)
	})
	t.Run("a_key_of_the_company_may", func(t *testing.T) {
		assert.Equal(t, http.StatusNoContent, e.Do("DELETE", own, nil).Status)
		e.Do("GET", own, nil).Is(http.StatusNotFound)
	})
}

func TestNotes(t *testing.T) {
	t.Parallel()
	e := newEvaluated(t)
	private, shared := pathOf(t, e.private["resource_uri"]), pathOf(t, e.note["resource_uri"])
	assert.Equal(t, e.private, e.As(e.ada, "GET", private, nil).Is(http.StatusOK))
	assert.NotNil(t, e.note["customer"])
	require.Len(t, objects(t, e.As(e.ada, "GET", e.inCandidate+"notes/", nil)), 2)
	for who, key := range map[string]string{"colleague": e.bob, "administrator": e.token("root", db.Owner), "client": e.Key} {
		e.As(key, "GET", private, nil).Is(http.StatusNotFound)
		e.As(key, "PATCH", private, apitest.Object{"text": "x"}).Is(http.StatusNotFound)
		assert.Equal(t, http.StatusNotFound, e.As(key, "DELETE", private, nil).Status, who)
		require.Len(t, objects(t, e.As(key, "GET", e.inCandidate+"notes/", nil)), 1, who)
	}
	e.As(e.bob, "PATCH", shared, apitest.Object{"text": "x"}).Is(http.StatusForbidden)

	changed := e.As(e.ada, "PATCH", shared, apitest.Object{"answer": nil}).Is(http.StatusAccepted)
	assert.Nil(t, changed["answer"])
	assert.Equal(t, changed, e.As(e.bob, "GET", shared, nil).Is(http.StatusOK))
	for name, body := range map[string]apitest.Object{
		"text": {"shared": true}, "answer": {"text": "x", "answer": e.answer["question"]}, "shared": {"text": "x", "shared": 1},
	} {
		assert.Contains(t, e.As(e.ada, "POST", e.inCandidate+"notes/", body).Is(http.StatusBadRequest), name)
	}
	assert.Equal(t, http.StatusNoContent, e.As(e.ada, "DELETE", private, nil).Status)
	e.As(e.ada, "GET", private, nil).Is(http.StatusNotFound)
}

func TestQuestions(t *testing.T) {
	t.Parallel()
	s := newStudio(t)
	list := s.inProject + "questions/"
	made := s.Do("POST", list, apitest.Object{"text": "How?", "max_answer_time": 90, "resource_uri": "ignored"}).
		Is(http.StatusCreated)
	assert.EqualValues(t, 2, made["position"], "after the others")
	assert.EqualValues(t, 90, made["max_answer_time"])
	assert.Nil(t, made["preparation_time"])
	uri := pathOf(t, made["resource_uri"])
	assert.Equal(t, made, s.Do("GET", uri, nil).Is(http.StatusOK))

	changed := s.Do("PATCH", uri, apitest.Object{"position": 1, "max_answer_time": nil, "preparation_time": 0}).
		Is(http.StatusAccepted)
	assert.Nil(t, changed["max_answer_time"])
	assert.EqualValues(t, 0, changed["preparation_time"])
	assert.Equal(t, "How?", changed["text"])
	assert.Equal(t, changed, s.Do("PATCH", uri, apitest.Object{}).Is(http.StatusAccepted))
	assert.Equal(t, changed, s.Do("GET", uri, nil).Is(http.StatusOK))
	require.Len(t, objects(t, s.Do("GET", list, nil)), 2)

	s.interview()
	agent, err := db.GetAgent(s.Ctx, s, *s.project.AgentID)
	require.NoError(t, err)
	assert.Equal(
		t,
		[]string{s.question.Text, "How?"},
		agent.Questions,
		"questions with the same position are ordered by age",
	)

	for name, body := range map[string]apitest.Object{
		"text": {"position": 1}, "position": {"text": "x", "position": 0}, "max_answer_time": {"text": "x", "max_answer_time": -1},
		"preparation_time": {"text": "x", "preparation_time": "long"},
	} {
		assert.Contains(t, s.Do("POST", list, body).Is(http.StatusBadRequest), name)
	}
	assert.Contains(t, s.Do("PATCH", uri, apitest.Object{"text": ""}).Is(http.StatusBadRequest), "text")

	s.answer(s.question, recording(100))
	used := fmt.Sprintf("%s%d/", list, s.question.Number)
	assert.Contains(t, s.Do("DELETE", used, nil).Is(http.StatusConflict), "detail", "it has an answer")
	assert.Equal(t, http.StatusNoContent, s.Do("DELETE", uri, nil).Status)
	s.Do("GET", uri, nil).Is(http.StatusNotFound)
	s.Do("GET", list+"x/", nil).Is(http.StatusNotFound)
}
