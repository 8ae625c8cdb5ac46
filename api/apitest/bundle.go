package apitest

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
	"greenroom/api/surface"
	"greenroom/db"
	"greenroom/db/dbtest"
	"greenroom/db/pg"
	"greenroom/db/seal"
)

// Secret is the secret of the APIs made by Setup.
var Secret = []byte("a secret of the tests")

// PublicURL is their public URL.
const PublicURL = "https://greenroom.test"

// Object is a JSON object.
type Object = map[string]any

// Bundle is an API on its own database, with two companies, a key of each and a platform key.
type Bundle struct {
	*bun.DB
	T       *testing.T
	Ctx     context.Context
	Handler *surface.Mounted
	Box     *seal.Box

	Company, Other uuid.UUID
	// Key, OtherKey and PlatformKey hold all scopes. Key belongs to Company; Do uses it.
	Key, OtherKey, PlatformKey string
}

// Setup returns a new bundle; change may modify the options, also the database.
func Setup(t *testing.T, change ...func(*api.Options)) *Bundle {
	t.Helper()
	keyset, err := seal.NewKeyset()
	require.NoError(t, err)
	box, err := seal.New(keyset)
	require.NoError(t, err)
	b := &Bundle{T: t, Ctx: t.Context(), Box: box}
	o := api.Options{Options: surface.Options{
		DB:                 dbtest.New(t),
		Box:                box,
		Secret:             Secret,
		CheckURL:           webhook.NewClient(webhook.ClientOptions{}).CheckURL,
		PublicURL:          PublicURL,
		InvitationDeadline: 7 * 24 * time.Hour,
		MaxDuration:        time.Hour,
		AnalysisTimeout:    time.Hour,
		Logger:             slog.New(slog.DiscardHandler),
	}}
	for _, c := range change {
		c(&o)
	}
	b.DB = o.DB
	b.Handler, err = api.New(o)
	require.NoError(t, err)
	b.Company, b.Other = b.NewCompany("Acme"), b.NewCompany("Other")
	b.Key, _ = b.NewKey(&b.Company)
	b.OtherKey, _ = b.NewKey(&b.Other)
	b.PlatformKey, _ = b.NewKey(nil)
	return b
}

// NewCompany creates a company.
func (b *Bundle) NewCompany(name string) uuid.UUID {
	b.T.Helper()
	co := &db.Company{Name: name}
	require.NoError(b.T, db.CreateCompany(b.Ctx, b, co))
	return co.ID
}

// NewKey creates a key of the company (nil: a platform key), with limits that no test reaches by accident. Without
// scopes it holds all.
func (b *Bundle) NewKey(company *uuid.UUID, scopes ...string) (plain string, row *db.APIKey) {
	b.T.Helper()
	if len(scopes) == 0 {
		scopes = []string{db.AllScopes}
	}
	plain, hash, prefix := db.GenerateKey(Secret)
	row = &db.APIKey{
		CompanyID:     company,
		Name:          "test",
		Prefix:        prefix,
		Hash:          hash,
		Scopes:        scopes,
		RatePerMinute: 100_000,
		RatePerHour:   1_000_000,
	}
	b.Tx(func(tx bun.Tx) error { return db.CreateAPIKey(b.Ctx, tx, row, "test") })
	return plain, row
}

// Tx runs fn in a transaction that must succeed.
func (b *Bundle) Tx(fn func(tx bun.Tx) error) {
	b.T.Helper()
	require.NoError(b.T, pg.InTx(b.Ctx, b, func(_ context.Context, tx bun.Tx) error { return fn(tx) }))
}

// Do sends a request with Key. A string or []byte body is sent unchanged, nil sends none, anything else is encoded as
// JSON; headers are alternating names and values.
func (b *Bundle) Do(method, path string, body any, headers ...string) Response {
	b.T.Helper()
	return b.As(b.Key, method, path, body, headers...)
}

// As sends a request with a key, in the header of the path's product; "" sends none.
func (b *Bundle) As(key, method, path string, body any, headers ...string) Response {
	b.T.Helper()
	req := httptest.NewRequestWithContext(b.Ctx, method, path, reader(b.T, body))
	if key != "" {
		b.authorize(req, key)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	return b.Send(req)
}

func (b *Bundle) authorize(req *http.Request, key string) {
	name, value, _ := strings.Cut(b.Handler.Of(req.URL.Path).Style.KeyIn, ": ")
	req.Header.Set(name, strings.Replace(value, "sk_…", key, 1))
}

// Send sends a request unchanged, for bodies that are not JSON.
func (b *Bundle) Send(req *http.Request) Response {
	b.T.Helper()
	sent, err := io.ReadAll(req.Body)
	require.NoError(b.T, err)
	req.Body = io.NopCloser(bytes.NewReader(sent))
	rec := httptest.NewRecorder()
	b.Handler.ServeHTTP(rec, req)
	r := Response{T: b.T, Status: rec.Code, Header: rec.Header(), Body: rec.Body.Bytes()}
	err = keepsContract(b.Handler.Of(req.URL.Path), req, sent, &r)
	require.NoError(b.T, err, "%s %s answered %d: %s", req.Method, req.URL, r.Status, r.Body)
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

// Response is an answer with its body.
type Response struct {
	T      *testing.T
	Status int
	Header http.Header
	Body   []byte
}

// Into requires the status and decodes the body.
func (r Response) Into(status int, v any) {
	r.T.Helper()
	require.Equal(r.T, status, r.Status, "body: %s", r.Body)
	require.NoError(r.T, json.Unmarshal(r.Body, v), "body: %s", r.Body)
}

// Is requires the status and returns the body as a JSON object.
func (r Response) Is(status int) Object {
	r.T.Helper()
	var o Object
	r.Into(status, &o)
	return o
}
