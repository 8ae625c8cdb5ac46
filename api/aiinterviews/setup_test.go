package aiinterviews_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"greenroom/api"
	"greenroom/api/apitest"
	"greenroom/db"
)

// bundle is the API with one AI interview of the first company.
type bundle struct {
	*apitest.Bundle
	job *db.Job
}

type object = apitest.Object

func setup(t *testing.T, change ...func(*api.Options)) *bundle {
	t.Helper()
	b := &bundle{Bundle: apitest.Setup(t, change...)}
	b.job = b.newJob("Receptionist")
	return b
}

func (b *bundle) newJob(title string) *db.Job {
	b.T.Helper()
	p := &db.Job{CompanyID: b.Company, Title: title}
	b.Tx(func(tx bun.Tx) error { return db.CreateJob(b.Ctx, tx, p) })
	return p
}

func (b *bundle) post(path string, body any) apitest.Response {
	b.T.Helper()
	return b.Do(http.MethodPost, path, body)
}

func (b *bundle) get(path string) apitest.Response {
	b.T.Helper()
	return b.Do(http.MethodGet, path, nil)
}

// fails requires a refusal in this product's style: that status and that sentence.
func (b *bundle) fails(r apitest.Response, status int, sentence string) {
	b.T.Helper()
	require.Equal(b.T, sentence, r.Is(status)["error"])
}

// invite invites a candidate and returns the answer; more is added to the body.
func (b *bundle) invite(more object) object {
	b.T.Helper()
	return b.post("/ai-interviews/invite", b.invitation(more)).Is(http.StatusOK)
}

func (b *bundle) invitation(more object) object {
	body := object{
		"candidate_name":  "Ada King Byron",
		"candidate_email": "ada@mail.test",
		"ai_interview_id": b.job.Number,
		"invite_format":   "getlink",
	}
	for k, v := range more {
		body[k] = v
	}
	return body
}

// interview is the row of a response.
func (b *bundle) interview(response any) *db.Interview {
	b.T.Helper()
	number, is := response.(float64)
	require.True(b.T, is, "%v is a number", response)
	i, err := db.InterviewByNumber(b.Ctx, b.DB, b.Company, int64(number))
	require.NoError(b.T, err)
	return i
}

// hold holds an interview to its end.
func (b *bundle) hold(i *db.Interview, answers string) {
	b.T.Helper()
	b.Tx(func(tx bun.Tx) error {
		if _, err := db.StartInterview(b.Ctx, tx, i.ID); err != nil {
			return err
		}
		_, err := db.FinishInterview(b.Ctx, tx, i.ID, db.Finish{Answers: json.RawMessage(answers)})
		return err
	})
}

func (b *bundle) analyse(i *db.Interview, general string) {
	b.T.Helper()
	b.Tx(func(tx bun.Tx) error {
		_, err := db.CompleteAnalysis(b.Ctx, tx, i.ID, json.RawMessage(general), nil)
		return err
	})
}

func (b *bundle) exec(query string, args ...any) {
	b.T.Helper()
	_, err := b.ExecContext(context.Background(), query, args...)
	require.NoError(b.T, err)
}

func path(format string, args ...any) string { return "/ai-interviews" + fmt.Sprintf(format, args...) }
