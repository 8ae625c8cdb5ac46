package profiles_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"greenroom/activities/webhook/profiles"
	"greenroom/db/catalog"
)

// TestAIReportTakesTheAnalysersFields has a row for each form in which an analyser may give a field, or not.
func TestAIReportTakesTheAnalysersFields(t *testing.T) {
	t.Parallel()
	nothing := map[string]any{
		"candidate_summary": nil, "integrity_score": nil, "recommendation": nil, "score": nil, "skill_wise_scores": nil,
	}
	for _, tc := range []struct {
		name, general, specific string
		want                    map[string]any
	}{
		{"nothing", `null`, `null`, nil},
		{"no_object", `[1]`, `"x"`, nil},
		{"nulls", `{"overallRating":null,"summary":null}`, `{"recommendation":null}`, nil},
		{"wrong_forms", `{"overallRating":"good","summary":{},"skillWiseScores":[]}`, `{"integrityScore":"9"}`, nil},
		{"rating_is_scaled", `{"overallRating":85}`, ``, map[string]any{"score": 8.5}},
		{"score_is_not", `{"overallRating":85,"score":7}`, ``, map[string]any{"score": 7.0}},
		{
			"zero_is_a_value", `{"overallRating":0}`, `{"integrityScore":0}`,
			map[string]any{"score": 0.0, "integrity_score": 0.0},
		},
		{
			"in_specific", ``, `{"summary":"s","recommendation":"hire"}`,
			map[string]any{"candidate_summary": "s", "recommendation": "hire"},
		},
		{
			"general_comes_first", `{"recommendation":"hire"}`, `{"recommendation":"no"}`,
			map[string]any{"recommendation": "hire"},
		},
		{
			"skills", `{"skillWiseScores":"none"}`, `{"skill_wise_scores":{"nice_to_haves":[]}}`,
			map[string]any{"skill_wise_scores": map[string]any{"nice_to_haves": []any{}}},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r := profiles.AIReportOf(&catalog.Context{Analysis: &catalog.Analysis{
				General: json.RawMessage(tc.general), Specific: json.RawMessage(tc.specific),
			}}, "https://greenroom.example.com")
			raw, err := json.Marshal(r)
			require.NoError(t, err)
			var got map[string]any
			require.NoError(t, json.Unmarshal(raw, &got))
			for field, absent := range nothing {
				want, said := tc.want[field]
				if !said {
					want = absent
				}
				require.Equal(t, want, got[field], field)
			}
		})
	}
}
