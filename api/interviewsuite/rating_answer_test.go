package interviewsuite_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"greenroom/db"
)

// TestRating_question_is_that_of_its_answer: a rating of an answer also rates the answer's question, whichever of the
// two a request names.
func TestRating_question_is_that_of_its_answer(t *testing.T) {
	t.Parallel()
	e := newEvaluated(t)
	own := pathOf(t, e.rating["resource_uri"])
	second := e.Do("POST", e.inProject+"questions/", object{"text": "How?"}).Is(http.StatusCreated)["resource_uri"]
	first, answer := e.answer["question"], e.answer["resource_uri"]
	patch := func(change object) object { return e.As(e.ada, "PATCH", own, change).Is(http.StatusAccepted) }

	t.Run("another_question_is_refused", func(t *testing.T) {
		before := len(e.events())
		for _, change := range []object{{"question": second}, {"question": second, "answer": answer}} {
			r := e.As(e.ada, "PATCH", own, change)
			require.Equal(t, []any{"This is not an answer to the question."}, r.Is(http.StatusBadRequest)["answer"])
		}
		require.Equal(t, e.rating, e.Do("GET", own, nil).Is(http.StatusOK))
		require.Len(t, e.events(), before)
	})
	t.Run("no_question_stays_the_answers", func(t *testing.T) {
		require.Equal(t, first, patch(object{"question": nil})["question"])
		require.Equal(t, first, patch(object{"question": nil, "answer": answer})["question"])
	})
	t.Run("another_question_without_the_answer_is_taken", func(t *testing.T) {
		changed := patch(object{"question": second, "answer": nil})
		require.Equal(t, []any{second, nil, e.rating["value"], e.rating["criterion"]},
			[]any{changed["question"], changed["answer"], changed["value"], changed["criterion"]})
	})
	t.Run("the_answer_alone_brings_its_question", func(t *testing.T) {
		changed := patch(object{"answer": answer})
		require.Equal(t, []any{first, answer}, []any{changed["question"], changed["answer"]})
	})
	t.Run("the_answer_by_its_number", func(t *testing.T) {
		require.Nil(t, patch(object{"answer": nil})["answer"])
		require.Equal(t, answer, patch(object{"answer": last(pathOf(t, answer)), "question": first})["answer"])
	})
	t.Run("the_question_of_a_rating_without_answer_is_removed", func(t *testing.T) {
		changed := patch(object{"question": nil, "answer": nil})
		require.Equal(t, []any{nil, nil}, []any{changed["question"], changed["answer"]})
	})
}

// TestNotes_and_ratings_are_deleted_by_their_author_only covers DELETE by each kind of caller.
func TestNotes_and_ratings_are_deleted_by_their_author_only(t *testing.T) {
	t.Parallel()
	e := newEvaluated(t)
	root, reader := e.token("root", db.Admin), e.token("reader", db.HiringManager)
	for _, list := range []string{"notes/", "ratings/"} {
		made := func() string {
			body := object{"text": "x", "shared": true, "value": 1}
			return pathOf(t, e.As(e.ada, "POST", e.inCandidate+list, body).Is(http.StatusCreated)["resource_uri"])
		}
		for name, tt := range map[string]struct {
			key    string
			status int
		}{
			"author": {e.ada, 204}, "administrator": {root, 204}, "key": {e.Key, 204},
			"colleague": {e.bob, 403}, "reader": {reader, 403}, "foreign": {e.OtherKey, 403},
		} {
			t.Run(list+name, func(t *testing.T) {
				path := made()
				require.Equal(t, tt.status, e.As(tt.key, "DELETE", path, nil).Status)
				left := map[bool]int{true: http.StatusNotFound, false: http.StatusOK}[tt.status == http.StatusNoContent]
				e.As(e.ada, "GET", path, nil).Is(left)
			})
		}
	}
}

func TestNote_of_a_key_has_no_author(t *testing.T) {
	t.Parallel()
	e := newEvaluated(t)
	made := e.Do("POST", e.inCandidate+"notes/", object{"text": "From the ATS", "shared": true}).Is(http.StatusCreated)
	require.Nil(t, made["customer"])
	require.Equal(t, made, e.As(e.bob, "GET", pathOf(t, made["resource_uri"]), nil).Is(http.StatusOK))
}
