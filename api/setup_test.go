package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"greenroom/activities/webhook"
	"greenroom/api"
	"greenroom/db"
	"greenroom/db/dbtest"
	"greenroom/db/seal"
)

var testSecret = []byte("a secret of the tests")

// bundle is an API on a database of its own, with two companies and a key of each and of the platform.
type bundle struct {
	*bun.DB
	t       *testing.T
	ctx     context.Context
	handler http.Handler
	box     *seal.Box

	company, other uuid.UUID
	// key, otherKey and platformKey hold all scopes; key is what do uses.
	key, otherKey, platformKey string
}

func setup(t *testing.T, change ...func(*api.Options)) *bundle {
	t.Helper()
	keyset, err := seal.NewKeyset()
	require.NoError(t, err)
	box, err := seal.New(keyset)
	require.NoError(t, err)
	b := &bundle{DB: dbtest.New(t), t: t, ctx: t.Context(), box: box}
	client := webhook.NewClient(webhook.ClientOptions{})
	o := api.Options{
		DB: b.DB, Box: box, Secret: testSecret, CheckURL: client.CheckURL, PublicURL: "https://greenroom.test",
		Interviews: api.InterviewRules{InvitationDeadline: 7 * 24 * time.Hour, MaxDuration: time.Hour, AnalysisTimeout: time.Hour},
		Logger:     slog.New(slog.DiscardHandler),
	}
	for _, c := range change {
		c(&o)
	}
	b.handler, err = api.New(o)
	require.NoError(t, err)
	b.company, b.other = b.newCompany("Acme"), b.newCompany("Other")
	b.key, _ = b.newKey(&b.company)
	b.otherKey, _ = b.newKey(&b.other)
	b.platformKey, _ = b.newKey(nil)
	return b
}

func (b *bundle) newCompany(name string) uuid.UUID {
	b.t.Helper()
	co := &db.Company{Name: name}
	require.NoError(b.t, db.CreateCompany(b.ctx, b, co))
	return co.ID
}

// newKey makes a key with limits that no test reaches by accident. Without scopes it holds all of them.
func (b *bundle) newKey(company *uuid.UUID, scopes ...string) (plain string, row *db.APIKey) {
	b.t.Helper()
	if len(scopes) == 0 {
		scopes = []string{"*"}
	}
	plain, hash, prefix := db.GenerateKey(testSecret)
	row = &db.APIKey{
		CompanyID: company, Name: "test", Prefix: prefix, Hash: hash, Scopes: scopes,
		RatePerMinute: 100_000, RatePerHour: 1_000_000,
	}
	b.tx(func(tx bun.Tx) error { return db.CreateAPIKey(b.ctx, tx, row, "test") })
	return plain, row
}

// tx runs fn in a transaction that must succeed.
func (b *bundle) tx(fn func(tx bun.Tx) error) {
	b.t.Helper()
	require.NoError(b.t, db.InTx(b.ctx, b, func(_ context.Context, tx bun.Tx) error { return fn(tx) }))
}

// response is an answer, its body read.
type response struct {
	t       *testing.T
	Status  int
	Header  http.Header
	Body    []byte
	Success bool            `json:"success"`
	Data    json.RawMessage `json:"data"`
	Error   *struct {
		Code    string         `json:"code"`
		Message string         `json:"message"`
		Details map[string]any `json:"details"`
	} `json:"error"`
	Timestamp string `json:"timestamp"`
}

type object = map[string]any

// do calls with the company's key. A body may be nil, a string or []byte as it is, or anything that becomes JSON.
func (b *bundle) do(method, path string, body any, headers ...string) response {
	b.t.Helper()
	return b.as(b.key, method, path, body, headers...)
}

// as calls with a key; headers are names and values in turn.
func (b *bundle) as(key, method, path string, body any, headers ...string) response {
	b.t.Helper()
	req := httptest.NewRequestWithContext(b.ctx, method, path, reader(b.t, body))
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	rec := httptest.NewRecorder()
	b.handler.ServeHTTP(rec, req)
	if rec.Code < 300 || rec.Code == http.StatusTooManyRequests {
		keepsContract(b.t, req, rec)
	}
	r := response{t: b.t, Status: rec.Code, Header: rec.Header(), Body: rec.Body.Bytes()}
	if rec.Code != http.StatusTooManyRequests && strings.HasPrefix(rec.Header().Get("Content-Type"), "application/json") {
		require.NoError(b.t, json.Unmarshal(r.Body, &r), "body: %s", r.Body)
	}
	return r
}

func reader(t *testing.T, body any) io.Reader {
	t.Helper()
	switch body := body.(type) {
	case nil:
		return http.NoBody
	case string:
		return strings.NewReader(body)
	case []byte:
		return bytes.NewReader(body)
	}
	raw, err := json.Marshal(body)
	require.NoError(t, err)
	return bytes.NewReader(raw)
}

// is requires a successful answer of that status and returns its data.
func (r response) is(status int) object {
	r.t.Helper()
	var data object
	r.into(status, &data)
	return data
}

// into requires a successful answer of that status and decodes its data.
func (r response) into(status int, v any) {
	r.t.Helper()
	require.Equal(r.t, status, r.Status, "body: %s", r.Body)
	require.True(r.t, r.Success)
	require.Nil(r.t, r.Error)
	require.Regexp(r.t, `^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$`, r.Timestamp)
	require.NoError(r.t, json.Unmarshal(r.Data, v))
}

// fails requires an error answer; a field, if given, must be the one that its details name.
func (r response) fails(status int, code string, field ...string) response {
	r.t.Helper()
	require.Equal(r.t, status, r.Status, "body: %s", r.Body)
	require.False(r.t, r.Success)
	require.Equal(r.t, "null", string(r.Data))
	require.NotNil(r.t, r.Error)
	require.Equal(r.t, code, r.Error.Code, "body: %s", r.Body)
	require.NotEmpty(r.t, r.Error.Message)
	if len(field) > 0 {
		require.Equal(r.t, field[0], r.Error.Details["field"], "body: %s", r.Body)
	}
	return r
}

// items are the rows of a list answer.
func (r response) items() []object {
	r.t.Helper()
	var list struct {
		Data []object `json:"data"`
	}
	r.into(http.StatusOK, &list)
	return list.Data
}
