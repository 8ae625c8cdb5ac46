package api_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"greenroom/api"
	"greenroom/api/apitest"
	"greenroom/api/surface"
	"greenroom/db"
	"greenroom/db/seal"
)

var testSecret = apitest.Secret

// bundle is the tests' own view of what all surfaces' tests share: the canonical surface has an envelope.
type bundle struct {
	*apitest.Bundle
	t       *testing.T
	ctx     context.Context
	handler *surface.Mounted
	box     *seal.Box

	company, other             uuid.UUID
	key, otherKey, platformKey string
}

func setup(t *testing.T, change ...func(*api.Options)) *bundle {
	t.Helper()
	b := apitest.Setup(t, change...)
	return &bundle{
		Bundle: b, t: t, ctx: b.Ctx, handler: b.Handler, box: b.Box, company: b.Company, other: b.Other,
		key: b.Key, otherKey: b.OtherKey, platformKey: b.PlatformKey,
	}
}

func (b *bundle) newCompany(name string) uuid.UUID { return b.NewCompany(name) }

func (b *bundle) newKey(company *uuid.UUID, scopes ...string) (plain string, row *db.APIKey) {
	return b.NewKey(company, scopes...)
}

func (b *bundle) tx(fn func(tx bun.Tx) error) { b.Tx(fn) }

// response is an answer in the envelope.
type response struct {
	apitest.Response `json:"-"`
	t                *testing.T
	Success          bool            `json:"success"`
	Data             json.RawMessage `json:"data"`
	Error            *struct {
		Code    string         `json:"code"`
		Message string         `json:"message"`
		Details map[string]any `json:"details"`
	} `json:"error"`
	Timestamp string `json:"timestamp"`
}

type object = apitest.Object

// do calls with the company's key. A body may be nil, a string or []byte as it is, or anything that becomes JSON.
func (b *bundle) do(method, path string, body any, headers ...string) response {
	b.t.Helper()
	return b.as(b.key, method, path, body, headers...)
}

// as calls with a key; headers are names and values in turn.
func (b *bundle) as(key, method, path string, body any, headers ...string) response {
	b.t.Helper()
	r := response{t: b.t, Response: b.As(key, method, path, body, headers...)}
	if r.Status != http.StatusTooManyRequests && strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") {
		require.NoError(b.t, json.Unmarshal(r.Body, &r), "body: %s", r.Body)
	}
	return r
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
