package interviewsuite_test

import (
	"fmt"
	"maps"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"greenroom/api"
	"greenroom/api/apitest"
	"greenroom/db"
)

type object = apitest.Object

// password is the password of every user in these tests.
const password = "correct horse battery"

// bundle is an API with a company, and helpers that create rows through the surface.
type bundle struct {
	*apitest.Bundle
	company *db.Company
	// at is the path of the company.
	at string
}

func setup(t *testing.T, change ...func(*api.Options)) *bundle {
	t.Helper()
	t.Parallel()
	b := &bundle{Bundle: apitest.Setup(t, change...)}
	var err error
	b.company, err = db.GetCompany(b.Ctx, b, b.Company)
	require.NoError(t, err)
	b.at = pathOfCompany(b.company)
	return b
}

func pathOfCompany(co *db.Company) string { return fmt.Sprintf("/api/v3/companies/%d/", co.Number) }

func with(body object, more ...object) object {
	for _, m := range more {
		maps.Copy(body, m)
	}
	return body
}

// path returns the path of a resource in an answer.
func (b *bundle) path(o object) string { return pathOf(b.T, o["resource_uri"]) }

func (b *bundle) project(more ...object) object {
	b.T.Helper()
	return b.Do("POST", b.at+"projects/", with(object{"name": "Receptionist"}, more...)).Is(http.StatusCreated)
}

func ada(more ...object) object {
	return with(object{"first_name": "Ada", "last_name": "Byron", "email": "ada@example.test"}, more...)
}

func (b *bundle) candidate(project object, more ...object) object {
	b.T.Helper()
	return b.Do("POST", b.path(project)+"candidates/", ada(more...)).Is(http.StatusCreated)
}

func (b *bundle) customer(username, kind string, more ...object) object {
	b.T.Helper()
	body := object{"username": username, "email": username + "@example.test", "account_type": kind}
	return b.Do("POST", b.at+"customers/", with(body, more...)).Is(http.StatusCreated)
}

// user creates a customer who can log in.
func (b *bundle) user(username, kind string) object {
	b.T.Helper()
	return b.customer(username, kind, object{"password": password})
}

func (b *bundle) logIn(username string, more ...object) string {
	b.T.Helper()
	body := object{"username": username, "password": password, "company": b.company.Identifier}
	return b.As("", "POST", "/api/v3/api-token-auth/", with(body, more...)).Is(http.StatusOK)["token"].(string)
}

// events returns the types of the company's events, oldest first.
func (b *bundle) events() []string {
	b.T.Helper()
	types := []string{}
	require.NoError(
		b.T,
		b.NewRaw("SELECT type FROM events WHERE company_id = ? ORDER BY occurred_at, id", b.Company).Scan(b.Ctx, &types),
	)
	return types
}

// interview returns the candidate's newest interview.
func (b *bundle) interview(candidate object) *db.Interview {
	b.T.Helper()
	i := new(db.Interview)
	err := b.NewSelect().
		Model(i).
		Where("candidate_id = (SELECT id FROM candidates WHERE number = ?)", last(b.path(candidate))).
		Order("i.id DESC").
		Limit(1).
		Scan(b.Ctx)
	require.NoError(b.T, err)
	return i
}

func (b *bundle) start(i *db.Interview) {
	b.T.Helper()
	b.Tx(func(tx bun.Tx) error { _, err := db.StartInterview(b.Ctx, tx, i.ID); return err })
}

func (b *bundle) finish(i *db.Interview) {
	b.T.Helper()
	b.Tx(func(tx bun.Tx) error { _, err := db.FinishInterview(b.Ctx, tx, i.ID, db.Finish{}); return err })
}

// last returns the integer at the end of a path.
func last(path string) (n int64) {
	_, _ = fmt.Sscanf(path[lastSlash(path[:len(path)-1])+1:], "%d/", &n)
	return n
}

func lastSlash(path string) int {
	for i := len(path) - 1; i >= 0; i-- {
		if path[i] == '/' {
			return i
		}
	}
	return -1
}

// refused requires an error with this status and detail.
func refused(r apitest.Response, status int, detail string) {
	r.T.Helper()
	require.Equal(r.T, object{"detail": detail}, r.Is(status))
}

// refusedField requires an error of this field only.
func refusedField(r apitest.Response, field string, sentence ...string) {
	r.T.Helper()
	got := r.Is(http.StatusBadRequest)
	require.Len(r.T, got, 1)
	require.Contains(r.T, got, field)
	if len(sentence) > 0 {
		require.Equal(r.T, []any{sentence[0]}, got[field])
	}
}

const (
	notFound  = "Not found."
	forbidden = "You do not have permission to perform this action."
)
