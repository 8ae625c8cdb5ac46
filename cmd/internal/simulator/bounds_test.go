package simulator_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestRatingsAtTheirBounds(t *testing.T) {
	t.Parallel()
	b := setup(t)
	words := func(n int) string { return strings.Repeat("word ", n) }
	for name, c := range map[string]struct {
		skills  []string
		answers []any
		rating  float64
		fit     string
	}{
		"full_length":             {nil, []any{words(40)}, 100, "HIGH"},
		"longer_is_not_better":    {nil, []any{words(400)}, 100, "HIGH"},
		"high_from_70":            {nil, []any{words(28)}, 70, "HIGH"},
		"medium_below_70":         {nil, []any{words(27)}, 67, "MEDIUM"},
		"medium_from_40":          {nil, []any{words(16)}, 40, "MEDIUM"},
		"low_below_40":            {nil, []any{words(15)}, 37, "LOW"},
		"mean_of_answers":         {nil, []any{words(40), ""}, 50, "MEDIUM"},
		"skills_alone":            {[]string{"Go"}, []any{"go"}, 60, "MEDIUM"},
		"half_of_the_skills":      {[]string{"Go", "SQL"}, []any{"I use GO " + words(37)}, 70, "HIGH"},
		"all_skills_in_any_case":  {[]string{"Go", "sql"}, []any{"SQL and gO " + words(37)}, 100, "HIGH"},
		"strings_and_objects_mix": {nil, []any{map[string]any{"question": "q", "answer": words(40)}, words(20)}, 75, "HIGH"},
	} {
		status, out := b.do(http.MethodPost, "/analyses", map[string]any{"requiredSkills": c.skills, "answers": c.answers})
		require.Equal(t, http.StatusOK, status, name)
		general := out["general"].(map[string]any)
		assert.InDelta(t, c.rating, general["overallRating"], 0, name)
		assert.Equal(t, c.fit, general["companyFitRating"], name)
		assert.Len(t, general["evaluation"], len(c.answers), name)
		assert.Nil(t, out["specific"], name)
	}
}

func TestRequestsThatAreRefused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for name, c := range map[string]struct {
		path   string
		body   any
		status int
	}{
		"call_of_another_form": {"/calls", []int{1}, http.StatusBadRequest},
		"call_without_number": {
			"/calls", map[string]any{"callAttemptId": "a", "callbackUrl": "u"}, http.StatusBadRequest,
		},
		"analysis_of_another_form": {"/analyses", "text", http.StatusBadRequest},
		"answer_of_another_form":   {"/analyses", map[string]any{"answers": []any{5}}, http.StatusBadRequest},
		"async_without_callback":   {"/analyses", map[string]any{"answers": []any{"[async]"}}, http.StatusBadRequest},
		"fail_before_async": {
			"/analyses", map[string]any{"answers": []any{"[async][fail]"}}, http.StatusUnprocessableEntity,
		},
		"more_than_four_mebibytes": {
			"/analyses", map[string]any{"jobTitle": strings.Repeat("a", 4<<20)}, http.StatusBadRequest,
		},
		"sourcing_of_another_form":     {"/sourcings", "text", http.StatusBadRequest},
		"sourcing_without_a_limit":     {"/sourcings", map[string]any{"requestId": "r", "title": "T"}, http.StatusBadRequest},
		"sourcing_that_fails":          {"/sourcings", sourcing("[fail]"), http.StatusUnprocessableEntity},
		"later_report_without_address": {"/sourcings", sourcing("[async]"), http.StatusBadRequest},
		"enrichment_of_another_form":   {"/enrichments", []int{1}, http.StatusBadRequest},
		"enrichment_of_nobody":         {"/enrichments", map[string]any{"requestId": "r"}, http.StatusBadRequest},
		"extraction_of_another_form":   {"/jobs", 1, http.StatusBadRequest},
		"page_without_a_title":         {"/jobs", map[string]any{"html": "<p>Hello"}, http.StatusUnprocessableEntity},
		"generation_without_a_role":    {"/generations", map[string]any{"generationId": "g"}, http.StatusBadRequest},
	} {
		status, out := b.do(http.MethodPost, c.path, c.body)
		assert.Equal(t, c.status, status, name)
		assert.NotEmpty(t, out["error"], name)
	}
	b.silent()
}

func TestClosedSimulatorTakesNoAsynchronousAnalysis(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.sim.Close()
	status, _ := b.do(http.MethodPost, "/analyses", map[string]any{"answers": []any{"[async]"}, "callbackUrl": b.callback})
	assert.Equal(t, http.StatusServiceUnavailable, status)
	status, _ = b.do(http.MethodPost, "/analyses", map[string]any{"answers": []any{"a"}})
	assert.Equal(t, http.StatusOK, status, "an immediate one needs no background")
	status, _ = b.do(http.MethodDelete, "/calls/unknown", nil)
	assert.Equal(t, http.StatusNoContent, status)
	b.silent()
}

// A call that was hung up while it rang sends nothing, and a repeated request does not dial again.
func TestHungUpCallStaysSilent(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.call("a1", "+421900000003") // answered, and never ends
	require.Equal(t, "IN_PROGRESS", b.next()["status"])
	status, _ := b.do(http.MethodDelete, "/calls/a1", nil)
	require.Equal(t, http.StatusNoContent, status)
	require.Equal(t, id, b.call("a1", "+421900000003"))
	b.silent()
}

func sourcing(description string) map[string]any {
	return map[string]any{"requestId": "r", "title": "T", "jobDescription": description, "limit": 3}
}

// TestSourcedProfiles are the same for the same title, never repeated, and end with the pool.
func TestSourcedProfiles(t *testing.T) {
	t.Parallel()
	b := setup(t)
	found := func(exclude []string, limit int) (ids []string) {
		req := sourcing("x")
		req["excludeProfileIds"], req["limit"] = exclude, limit
		status, out := b.do(http.MethodPost, "/sourcings", req)
		require.Equal(t, http.StatusOK, status)
		for _, c := range out["candidates"].([]any) {
			ids = append(ids, c.(map[string]any)["profileId"].(string))
		}
		return ids
	}
	first := found(nil, 3)
	require.Len(t, first, 3)
	require.Equal(t, first, found(nil, 3))
	require.NotContains(t, found(first, 3), first[0])
	require.Len(t, found(nil, 100), 42)
	require.Empty(t, found(found(nil, 100), 5))
}

func TestExtractedJob(t *testing.T) {
	t.Parallel()
	b := setup(t)
	status, out := b.do(http.MethodPost, "/jobs", map[string]any{
		"html": "<html><head><title> A &amp; B </title><style>x{}</style></head><body><p>One<br>two<!-- no --></p></body></html>",
	})
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, map[string]any{"title": "A & B", "description": "One two", "status": "OPEN"}, out)
}
