package activities_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"greenroom/db"
	"greenroom/db/catalog"
	"greenroom/db/pg"
	"greenroom/db/token"
)

func TestRequestAnalysis(t *testing.T) {
	t.Parallel()
	t.Run("keeps_the_answer", func(t *testing.T) {
		t.Parallel()
		b := setupInterview(t, db.Online)
		b.finish()
		b.outside.answers = []answer{{http.StatusOK, `{"general":{"overallRating":80},"specific":null}`}}
		require.NoError(t, b.RequestAnalysis(b.ctx, b.id))
		assert.Equal(t, []asked{{
			method: http.MethodPost, path: "/analyses", authorization: "Bearer t0ken",
			body: map[string]any{
				"interviewId":    b.id.String(),
				"jobTitle":       "Engineer",
				"jobDescription": "Engines",
				"requiredSkills": []any{"Go", "SQL"},
				"transcript":     []any{map[string]any{"role": "agent", "content": "Why?"}},
				"answers":        []any{"because"},
				"callbackUrl": "https://greenroom.test/callbacks/analyses/" + b.id.String() + "?token=" + token.For(
					[]byte(secret),
					"callback",
					b.id,
				),
			},
		}}, b.outside.asked)
		assert.Equal(t, db.AnalysisCompleted, b.state().Analysis)
		got, err := db.GetAnalysis(b.ctx, b.DB, b.id)
		require.NoError(t, err)
		assert.JSONEq(t, `{"overallRating":80}`, string(got.General))
		assert.Equal(
			t,
			map[string]any{"id": got.ID.String(), "general": map[string]any{"overallRating": 80.0}, "specific": nil},
			b.event(catalog.AnalysisCompleted)["analysis"],
		)
		require.NoError(t, b.RequestAnalysis(b.ctx, b.id), "repeated by Temporal")
		assert.Len(t, b.outside.asked, 1, "an existing analysis is not requested again")
	})
	t.Run("without_a_job", func(t *testing.T) {
		t.Parallel()
		b := setupInterview(t, db.Online)
		b.exec("UPDATE interviews SET job_id = NULL")
		b.finish()
		b.outside.answers = []answer{{http.StatusOK, `{"general":{},"specific":{"pronunciationScores":[1]}}`}}
		require.NoError(t, b.RequestAnalysis(b.ctx, b.id))
		assert.Empty(t, b.outside.asked[0].body["jobTitle"])
		assert.Equal(t, []any{}, b.outside.asked[0].body["requiredSkills"])
		got, err := db.GetAnalysis(b.ctx, b.DB, b.id)
		require.NoError(t, err)
		assert.JSONEq(t, `{"pronunciationScores":[1]}`, string(got.Specific))
	})
	t.Run("accepted_result_comes_by_callback", func(t *testing.T) {
		t.Parallel()
		b := setupInterview(t, db.Online)
		b.finish()
		b.outside.answers = []answer{{http.StatusAccepted, `{"analysisId":"a1"}`}}
		require.NoError(t, b.RequestAnalysis(b.ctx, b.id))
		assert.Equal(t, db.AnalysisPending, b.state().Analysis)
	})
	t.Run("an_invalid_answer_fails_the_analysis", func(t *testing.T) {
		t.Parallel()
		long := strings.Repeat("x", 256<<10)
		const noGeneral = `the analyser's answer is not an analysis: it has no object "general"`
		for said, want := range map[answer]string{
			{422, `{"error":"too short"}`}:                          "the analyser refused with 422: too short",
			{400, `{"error":{"message":"x"},"message":"no\u0000"}`}: "the analyser refused with 400: no\uFFFD",
			{401, "<html>"}:           "the analyser refused with 401",
			{200, `{"general":null}`}: noGeneral,
			{200, "<html>"}:           noGeneral,
			{204, ""}:                 noGeneral,
			{200, `{"general":{"a":"` + "\\" + `u0000"}}`}: "the analyser's answer must not contain NUL characters (\\u0000)",
			{200, `{"general":{"a":"\ud800"}}`}: `the analyser's answer must not contain half of a surrogate pair ` +
				`(\ud800–\udfff)`,
			{200, `{"general":{"a":1e400}}`}: "the analyser's answer has a number that is out of range: 1e400",
			{200, `{"general":{"a":` + strings.Repeat("[", 64) + strings.Repeat("]", 64) + `}}`}: "the analyser's answer must " +
				"not be nested deeper than 64 levels",
			{200, "{\"general\":{\"a\":\"\xff\"}}"}:    "the analyser's answer must be valid UTF-8",
			{200, `{"general":{"a":"` + long + `"}}`}:  "the analyser's answer is longer than 262144 bytes",
			{409, `{"message":"` + long[:1000] + `"}`}: "the analyser refused with 409: " + long[:300],
		} {
			b := setupInterview(t, db.Online)
			b.finish()
			b.outside.answers = []answer{said}
			require.NoError(t, b.RequestAnalysis(b.ctx, b.id))
			assert.Equal(t, db.AnalysisFailed, b.state().Analysis, want)
			assert.Equal(t, want, b.event(catalog.AnalysisFailed)["errorMessage"])
		}
	})
	t.Run("transient_failures_are_errors", func(t *testing.T) {
		t.Parallel()
		b := setupInterview(t, db.Online)
		b.finish()
		b.outside.answers = []answer{{http.StatusBadGateway, ""}}
		require.Error(t, b.RequestAnalysis(b.ctx, b.id))
		assert.Equal(t, db.AnalysisPending, b.state().Analysis)
	})
	t.Run("deleted_interview_is_not_sent", func(t *testing.T) {
		t.Parallel()
		b := setupInterview(t, db.Online)
		b.finish()
		b.tx(func(ctx context.Context, tx bun.Tx) error { return db.DeleteInterview(ctx, tx, pg.Scope{}, b.id) })
		require.NoError(t, b.RequestAnalysis(b.ctx, b.id))
		assert.Empty(t, b.outside.asked)
	})
}
