package activities_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"greenroom/activities"
	"greenroom/activities/webhook"
	"greenroom/db"
)

// generating creates a generation and its job.
func generating(t *testing.T, notify string) (*interviews, uuid.UUID) {
	t.Helper()
	b := setupInterview(t, db.Online)
	b.Generator = b.Analyser
	g := &db.Generation{JobRole: "Receptionist", JobDescription: "Greets people"}
	require.NoError(t, b.NewRaw("SELECT company_id FROM interviews WHERE id = ?", b.id).Scan(b.ctx, &g.CompanyID))
	if notify != "" {
		url := strings.TrimRight(b.Analyser.URL, "/") + notify
		g.NotificationURL = &url
	}
	b.tx(func(ctx context.Context, tx bun.Tx) error { return db.CreateGeneration(ctx, tx, g) })
	s, err := b.CreateGenerated(b.ctx, g.ID)
	require.NoError(t, err)
	require.Equal(t, activities.GenerationState{HasGenerator: true, Notifies: notify != ""}, s)
	return b, g.ID
}

func (b *interviews) generation(id uuid.UUID) *db.Generation {
	b.t.Helper()
	g, err := db.GetGeneration(b.ctx, b.DB, id)
	require.NoError(b.t, err)
	return g
}

func TestAskGenerator(t *testing.T) {
	t.Parallel()
	t.Run("keeps_the_questions", func(t *testing.T) {
		t.Parallel()
		b, id := generating(t, "")
		b.outside.answers = []answer{{503, ""}, {200, `{"questions":["Why?","How?"]}`}}
		require.Error(t, b.AskGenerator(b.ctx, id), "retryable")
		require.NoError(t, b.AskGenerator(b.ctx, id))
		require.NoError(t, b.AskGenerator(b.ctx, id), "repeated, as after a crash")
		require.Len(t, b.outside.asked, 2)
		q := b.outside.asked[1]
		require.Equal(t, "/generations", q.path)
		require.Equal(t, "Bearer t0ken", q.authorization)
		require.Equal(
			t,
			map[string]any{"generationId": id.String(), "jobRole": "Receptionist", "jobDescription": "Greets people"},
			q.body,
		)
		var questions []string
		require.NoError(t, b.NewRaw("SELECT text FROM questions ORDER BY position").Scan(b.ctx, &questions))
		require.Equal(t, []string{"Why?", "How?"}, questions)
		require.Equal(t, 2, *b.generation(id).Questions)
	})
	const badQuestion = "the generator's answer has a question that is empty, longer than 2000 characters or contains NUL"
	tooMany := `{"questions":[` + strings.Repeat(`"q",`, 50) + `"q"]}`
	for name, tt := range map[string]struct {
		answer answer
		want   string
	}{
		"refused":            {answer{422, `{"error":"no such role"}`}, "the generator refused with 422: no such role"},
		"no_json":            {answer{200, "hello"}, `the generator's answer has no list of strings "questions"`},
		"no_questions":       {answer{200, `{"questions":[]}`}, `the generator's answer has no list of strings "questions"`},
		"an_empty_question":  {answer{200, `{"questions":[" "]}`}, badQuestion},
		"a_NUL":              {answer{200, `{"questions":["a\u0000"]}`}, badQuestion},
		"too_many_questions": {answer{200, tooMany}, "the generator's answer has more than 50 questions"},
	} {
		t.Run("fails_when_"+name, func(t *testing.T) {
			t.Parallel()
			b, id := generating(t, "")
			b.outside.answers = []answer{tt.answer}
			require.NoError(t, b.AskGenerator(b.ctx, id))
			g := b.generation(id)
			require.Equal(t, db.GenerationFailed, g.Status)
			require.Equal(t, tt.want, *g.Error)
			require.NotNil(t, g.JobID, "the job is kept")
		})
	}
}

func TestNotifyGeneration(t *testing.T) {
	t.Parallel()
	b, id := generating(t, "/hook/")
	b.outside.answers = []answer{{503, ""}, {404, ""}, {200, ""}}
	require.Error(t, b.NotifyGeneration(b.ctx, id), "retryable")
	require.NoError(t, b.NotifyGeneration(b.ctx, id), "the client asked for no notifications")
	require.NoError(t, b.EndGeneration(b.ctx, activities.EndGenerationInput{GenerationID: id}))
	require.NoError(t, b.NotifyGeneration(b.ctx, id))
	g, asked := b.generation(id), b.outside.asked
	require.Len(t, asked, 3)
	require.Equal(t, http.MethodPost+" /hook/", asked[0].method+" "+asked[0].path)
	require.Empty(t, asked[0].authorization, "the generator's token is not sent to the client")
	require.Equal(t, webhook.UserAgent, b.outside.agents[0])
	require.Equal(t, map[string]any{
		"job_id": id.String(), "status": "pending", "ai_interview_id": float64(*g.JobNumber), "error": nil,
		"message": "The AI interview was created; its questions are being written",
	}, asked[0].body)
	require.Equal(t, "completed", asked[2].body["status"])

	b.exec("UPDATE generations SET notification_url = 'http://10.0.0.1/'")
	require.NoError(t, b.NotifyGeneration(b.ctx, id), "a forbidden address is not called")
}

// TestErrorsNameNoHost: Temporal keeps the error of an activity in the workflow's history and logs it.
func TestErrorsNameNoHost(t *testing.T) {
	t.Parallel()
	b, id := generating(t, "")
	b.exec("UPDATE generations SET notification_url = 'http://receiver-of-a-customer.invalid/x'")
	require.EqualError(t, b.NotifyGeneration(b.ctx, id), "notify of generation: Host name not found")
	b.exec("UPDATE generations SET notification_url = 'http://127.0.0.1:1/x'")
	require.EqualError(t, b.NotifyGeneration(b.ctx, id), "notify of generation: Connection refused")
	b.Generator.URL = "http://generator-of-the-operator.invalid"
	require.EqualError(t, b.AskGenerator(b.ctx, id), "call the generator: Host name not found")
}

// TestNotifyGenerationCannotReachServices: the client of services may call private addresses, the client of customers'
// URLs may not, even if a service is there.
func TestNotifyGenerationCannotReachServices(t *testing.T) {
	t.Parallel()
	b, id := generating(t, "/notify")
	b.Client = webhook.NewClient(webhook.ClientOptions{AllowHTTP: true})
	b.outside.answers = []answer{{200, `{"questions":["Why?"]}`}}
	require.NoError(t, b.AskGenerator(b.ctx, id))
	require.Len(t, b.outside.asked, 1)
	require.NoError(t, b.NotifyGeneration(b.ctx, id), "a forbidden address is not retried")
	require.Len(t, b.outside.asked, 1)
}
