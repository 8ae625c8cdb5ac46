package api_test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func fullAnalysis() object {
	return object{
		"general": object{
			"overallRating": 85.0, "companyFitRating": "HIGH", "education": "Master", "experience": "Five years",
			"strongPoints": []any{"Go"}, "weakPoints": []any{}, "evaluation": []any{object{"question": "Why?", "rating": 80.0}},
			"summary": "What an analyser adds is kept",
		},
		"specific": object{"pronunciationScores": object{"overall": 0.7}},
	}
}

func TestPostAnalysis(t *testing.T) {
	t.Parallel()
	b := setup(t)
	i := b.completed()
	path := "/interviews/" + idOf(i) + "/analysis"
	b.do("GET", path, nil).fails(404, "RESOURCE_NOT_FOUND")
	require.Equal(t, "PENDING", i["analysisStatus"])
	got := b.made(path, fullAnalysis())
	t.Run("2.13_object", func(t *testing.T) {
		general := got["general"].(object)
		for field, value := range fullAnalysis()["general"].(object) {
			require.Equal(t, value, general[field], field)
		}
		require.EqualValues(t, 3, general["status"], "the number of a finished one")
		require.Equal(t, got["createdAt"], general["createdAt"])
		require.Equal(t, fullAnalysis()["specific"], got["specific"])
		require.Equal(t, "COMPLETED", got["status"])
		require.Equal(t, i["candidateId"], got["candidateId"])
		require.Equal(t, got, b.get(path))
		now := b.get("/interviews/" + idOf(i))
		require.Equal(t, got, now["analysis"])
		require.Equal(t, "COMPLETED", now["analysisStatus"])
	})
	t.Run("events", func(t *testing.T) {
		events := b.events()
		require.Equal(t, []string{"interview.completed", "analysis.completed"}, events[len(events)-2:])
	})
	t.Run("not_twice", func(t *testing.T) {
		b.leaves(func() {
			b.do("POST", path, fullAnalysis()).fails(409, "INVALID_STATE")
			b.do("POST", path, object{"error": "x"}).fails(409, "INVALID_STATE")
		})
		require.Equal(t, got, b.get(path))
	})
	t.Run("what_was_not_said_is_null_or_empty", func(t *testing.T) {
		i := b.completed()
		general := b.made("/interviews/"+idOf(i)+"/analysis", object{"general": object{"strongPoints": nil}})["general"].(object)
		require.Nil(t, general["overallRating"])
		require.Equal(t, []any{}, general["strongPoints"])
	})
}

func TestFailedAnalysis(t *testing.T) {
	t.Parallel()
	b := setup(t)
	i := b.completed()
	path := "/interviews/" + idOf(i) + "/analysis"
	got := b.made(path, object{"error": "the recording is silent"})
	require.Equal(t, "FAILED", got["status"])
	require.Equal(t, "the recording is silent", got["error"])
	require.Nil(t, got["general"])
	require.Equal(t, "the recording is silent", b.lastEvent("analysis.failed")["errorMessage"])
	again := b.made(path, fullAnalysis())
	require.Equal(t, "COMPLETED", again["status"], "a late result is taken")
	require.Nil(t, again["error"])
	require.Equal(t, got["id"], again["id"])
}

func TestAnalysisRefusals(t *testing.T) {
	t.Parallel()
	b := setup(t)
	i := b.completed()
	path := "/interviews/" + idOf(i) + "/analysis"
	b.leaves(func() {
		for _, target := range []string{path, callbackPath("analyses", uid(i))} {
			for field, general := range map[string]object{
				"general.overallRating": {"overallRating": 101}, "general.companyFitRating": {"companyFitRating": 1},
				"general.education": {"education": []any{}}, "general.strongPoints": {"strongPoints": "Go"}, "general.evaluation": {"evaluation": object{}},
			} {
				b.do("POST", target, object{"general": general}).fails(400, "VALIDATION_ERROR", field)
			}
			b.do("POST", target, object{"general": object{"overallRating": "85"}}).
				fails(400, "VALIDATION_ERROR", "general.overallRating")
			b.do("POST", target, object{"general": object{}, "error": "x"}).fails(400, "VALIDATION_ERROR", "error")
			b.do("POST", target, object{"error": ""}).fails(400, "VALIDATION_ERROR", "error")
			b.do("POST", target, object{}).fails(400, "MISSING_REQUIRED_FIELD", "general")
			b.do("POST", target, object{"specific": object{}}).fails(400, "MISSING_REQUIRED_FIELD", "general")
			b.do("POST", target, object{"general": []any{}}).fails(400, "VALIDATION_ERROR", "general")
			b.do("POST", target, object{"general": object{}, "specific": 1}).fails(400, "VALIDATION_ERROR", "specific")
		}
	})
	b.refuses("POST", path, badBodies("error"))
	waiting := b.interview("ONLINE")
	b.leaves(func() { // the interview is not over
		e := b.do("POST", "/interviews/"+idOf(waiting)+"/analysis", fullAnalysis()).fails(409, "INVALID_STATE")
		require.Equal(t, "SCHEDULED", e.Error.Details["state"])
	})
}
