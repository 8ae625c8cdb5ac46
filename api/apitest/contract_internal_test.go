package apitest

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"greenroom/api/surface"
)

// TestKeepsContract shows that the check can fail, for each thing that it looks at.
func TestKeepsContract(t *testing.T) {
	t.Parallel()
	canonical := &surface.Surface{Name: "greenroom", Aliases: []surface.Alias{{Of: "", Also: "/v1"}}}
	const (
		hook = `{"id":"00000000-0000-7000-8000-000000000001","apiKeyId":null,"companyId":null,"ownerCompanyId":null,"heldByPlatform":false,"notifyEmail":null,"url":"https://a.example/","name":"",` +
			`"description":"","headers":[],"events":["ping"],"filter":null,"isActive":true,"disabledReason":null,"maxRetries":3,"timeoutMs":30000,` +
			`"consecutiveFailures":0,"circuitOpenedAt":null,"circuitRecovery":null,"ordering":null,"orderingOnFailure":"skip","profile":"instaview","rateLimit":0,"auth":null,` +
			`"signatureAlgorithms":["v1"],"jwksUrl":null,` +
			`"createdAt":"2024-01-15T10:30:00.000Z","updatedAt":"2024-01-15T10:30:00.000Z"}`
		refused = `{"success":false,"data":null,"error":{"code":"CONFLICT","message":"m"},"timestamp":"2024-01-15T10:30:00.000Z"}`
	)
	wrap := func(data string) string {
		return `{"success":true,"data":` + data + `,"error":null,"timestamp":"2024-01-15T10:30:00.000Z"}`
	}
	created := wrap(strings.Replace(hook, "{", `{"signingSecret":"`+strings.Repeat("0", 64)+`",`, 1))
	list := wrap(`{"data":[` + hook + `],"total":1}`)
	replaced := func(from, to string) string { return strings.Replace(list, from, to, 1) }
	body := `{"url":"https://a.example/","events":[0]}`
	for name, c := range map[string]struct {
		call, sent string
		status     int
		answer     string
		says       string
	}{
		"fits":                           {"GET /webhooks", "", 200, list, ""},
		"fits_at_an_alias":               {"GET /v1/webhooks", "", 200, list, ""},
		"refusal_fits":                   {"GET /webhooks", "", 409, refused, ""},
		"unknown_path_fits":              {"GET /nothing", "", 404, refused, ""},
		"type":                           {"GET /webhooks", "", 200, replaced(`"maxRetries":3`, `"maxRetries":"3"`), "want integer"},
		"null":                           {"GET /webhooks", "", 200, replaced(`"name":""`, `"name":null`), "want string"},
		"format":                         {"GET /webhooks", "", 200, replaced(`"id":"0`, `"id":"x`), "not valid uuid"},
		"missing":                        {"GET /webhooks", "", 200, replaced(`"rateLimit":0,`, ``), "rateLimit"},
		"undocumented":                   {"GET /webhooks", "", 200, replaced(`"rateLimit":0`, `"rateLimit":0,"more":1`), "additional properties 'more'"},
		"undocumented_of_an_open_schema": {"GET /webhooks", "", 200, replaced(`"total":1`, `"total":1,"more":1`), "additional properties 'more'"},
		"no_json":                        {"GET /webhooks", "", 200, "x", "read body"},
		"refusal_with_200":               {"GET /webhooks", "", 200, refused, "/success"},
		"refusal_with_a_code":            {"GET /webhooks", "", 409, strings.Replace(refused, "CONFLICT", "WHAT", 1), "/error/code"},
		"unknown_path_served":            {"GET /nothing", "", 200, list, "no such operation"},
		"status":                         {"GET /webhooks", "", 302, list, "status 302 is not documented"},
		"empty_wanted":                   {"DELETE /webhooks/x", "", 204, "x", "body is not documented"},
		"query":                          {"GET /webhooks?companyId=x", "", 200, list, "asked"},
		"asked":                          {"POST /webhooks", body, 201, created, ""},
		"asked_badly":                    {"POST /webhooks", `{"url":1}`, 201, created, "asked"},
		"asked_nothing":                  {"POST /webhooks", ``, 201, created, "asked"},
	} {
		t.Run(name, func(t *testing.T) {
			method, target, _ := strings.Cut(c.call, " ")
			req := httptest.NewRequestWithContext(t.Context(), method, target, strings.NewReader(c.sent))
			r := &Response{
				Status: c.status,
				Header: http.Header{"Content-Type": {"application/json; charset=utf-8"}},
				Body:   []byte(c.answer),
			}
			err := keepsContract(canonical, req, []byte(c.sent), r)
			if c.says == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, c.says)
		})
	}
}
