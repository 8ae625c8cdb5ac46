package activities_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"greenroom/activities"
	"greenroom/db"
)

// TestAskService_of_an_extractor: an answer that cannot be stored ends the import with its reason.
func TestAskService_of_an_extractor(t *testing.T) {
	t.Parallel()
	b := setupInterview(t, db.Online)
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, "<p>Cook\x00")
	}))
	t.Cleanup(page.Close)
	b.Extractor = b.Calls
	state, err := db.InterviewLife(b.ctx, b.DB, b.id, false)
	require.NoError(t, err)
	for answered, want := range map[string]string{
		`{"title":"Cook"}`:                     "",
		"\n {\"title\":\"A\",\"title\":\"B\"}": "",
		`{"title":"a \\u0000 of JSON"}`:        "",
		`{"title":"Cook\u0000"}`:               `the extractor's answer must not contain NUL characters (\u0000)`,
		`{"title":"\ud800"}`:                   `the extractor's answer must not contain half of a surrogate pair (\ud800–\udfff)`,
		`{"salary":{"min":1e999999}}`:          "the extractor's answer has a number that is out of range: 1e999999",
		"{\"title\":\"\xff\"}":                 "the extractor's answer must be valid UTF-8",
		`["Cook"]`:                             "the extractor's answer is not a JSON object of at most 65536 bytes",
		`{"a":"` + strings.Repeat("x", 1<<16):  "the extractor's answer is not a JSON object of at most 65536 bytes",
	} {
		r := &db.ServiceRun{CompanyID: state.CompanyID, Kind: db.RunJobImport, Request: db.RunRequest{JobURL: page.URL}}
		b.tx(func(ctx context.Context, tx bun.Tx) error { return db.CreateRun(ctx, tx, r, time.Hour) })
		b.outside.answers = []answer{{http.StatusOK, answered}}
		ended, err := b.AskService(b.ctx, activities.RunPass{RunID: r.ID, Pass: 1})
		require.NoError(t, err, answered)
		require.True(t, ended)
		got, err := db.GetRun(b.ctx, b.DB, r.ID)
		require.NoError(t, err)
		if want == "" {
			require.Equal(t, db.RunCompleted, got.Status, "%s: %v", answered, got.ErrorMessage)
			continue
		}
		require.Equal(t, db.RunFailed, got.Status)
		require.Equal(t, db.RunRefused, *got.ErrorCode)
		require.Equal(t, want, *got.ErrorMessage)
	}
}
