package interviewsuite_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
)

// nested reads a resource with embedded references. The contract describes answers with addresses alone, so the answer
// is not held against it.
func (b *bundle) nested(key, path string) (status int, answer object) {
	b.T.Helper()
	req := httptest.NewRequestWithContext(b.Ctx, http.MethodGet, path, nil)
	req.Header.Set("Authorization", "Token "+key)
	w := httptest.NewRecorder()
	b.Handler.ServeHTTP(w, req)
	require.NoError(b.T, json.Unmarshal(w.Body.Bytes(), &answer), w.Body.String())
	return w.Code, answer
}

func TestNested(t *testing.T) {
	t.Parallel()
	e := newEvaluated(t)
	b := &bundle{Bundle: e.Bundle}
	embedded := func(path string) object {
		t.Helper()
		status, answer := b.nested(e.Key, path)
		require.Equal(t, http.StatusOK, status, answer)
		return answer
	}
	read := func(path string) object {
		t.Helper()
		return e.Do("GET", path, nil).Is(http.StatusOK)
	}
	project, candidate := read(e.inProject), read(e.inCandidate)

	t.Run("an_object_in_place_of_its_address", func(t *testing.T) {
		one := embedded(e.inCandidate + "?nested=project")
		require.Equal(t, project, one["project"])
		one["project"] = candidate["project"]
		require.Equal(t, candidate, one, "nothing else")
	})
	t.Run("several_and_one_twice", func(t *testing.T) {
		one := embedded(pathOf(t, e.rating["resource_uri"]) + "?nested=candidate,question,candidate")
		require.Equal(t, candidate, one["candidate"])
		require.Equal(t, e.question.Text, one["question"].(object)["text"])
	})
	t.Run("in_each_object_of_a_list", func(t *testing.T) {
		list := embedded(e.inProject + "results/?nested=candidate&page_size=5")
		require.EqualValues(t, 1, list["meta"].(object)["total_count"])
		require.Equal(t, candidate, list["objects"].([]any)[0].(object)["candidate"])
	})
	t.Run("a_list_of_references_and_a_collection", func(t *testing.T) {
		user := e.rating["evaluator_profile"]
		e.Do("PATCH", e.inProject, object{"evaluators": []any{user}}).Is(http.StatusAccepted)
		one := embedded(e.inProject + "?nested=evaluators,candidates")
		require.Equal(t, user, one["evaluators"].([]any)[0].(object)["resource_uri"])
		require.EqualValues(t, 1, one["candidates"].(object)["meta"].(object)["total_count"])
	})
	t.Run("nothing_to_refer_to", func(t *testing.T) {
		one := embedded(pathOf(t, e.note["resource_uri"]) + "?nested=candidate")
		require.Equal(t, candidate["email"], one["candidate"].(object)["email"])
		byKey := e.Do("POST", e.inCandidate+"notes/", object{"text": "x", "shared": true}).Is(http.StatusCreated)
		one = embedded(pathOf(t, byKey["resource_uri"]) + "?nested=answer,evaluator_profile")
		require.Nil(t, one["answer"])
		require.Nil(t, one["evaluator_profile"])
	})
	t.Run("what_the_caller_may_not_read_stays_an_address", func(t *testing.T) {
		key, _ := e.NewKey(&e.Company, "read:candidates")
		status, one := b.nested(key, e.inCandidate+"?nested=project,company")
		require.Equal(t, http.StatusOK, status)
		require.Equal(t, candidate["project"], one["project"])
		require.Equal(t, candidate["company"], one["company"])
	})
	t.Run("refused", func(t *testing.T) {
		for path, sentence := range map[string]string{
			e.inCandidate + "?nested=name":                                  "name is not a reference of this resource.",
			e.inCandidate + "?nested=first_name":                            "first_name is not a reference of this resource.",
			e.inCandidate + "?nested=":                                      "",
			e.inCandidate + "?nested=project,":                              " is not a reference of this resource.",
			e.inProject + "?nested=labels,id":                               "id is not a reference of this resource.",
			e.inProject + "candidates/?nested=partner_data":                 "partner_data is not a reference of this resource.",
			pathOf(t, e.answer["resource_uri"]) + "?nested=file":            "file is not a reference of this resource.",
			pathOf(t, e.veto["resource_uri"]) + "?nested=candidate.project": "candidate.project is not a reference of this resource.",
		} {
			status, answer := b.nested(e.Key, path)
			if sentence == "" {
				require.Equal(t, http.StatusOK, status, path)
				continue
			}
			require.Equal(t, http.StatusBadRequest, status, path)
			require.Equal(t, object{"nested": []any{sentence}}, answer, path)
		}
	})
	t.Run("at_most_fifty", func(t *testing.T) {
		for range 50 {
			e.apply("Ada")
		}
		list := e.inProject + "candidates/?nested=project,resource_uri&page_size="
		status, answer := b.nested(e.Key, list+"50")
		require.Equal(t, http.StatusBadRequest, status, "fifty candidates and their project")
		require.Equal(t, object{"nested": []any{"One answer embeds at most 50 objects: use page_size."}}, answer)
		require.Len(t, embedded(list + "49")["objects"], 49)
	})
}
