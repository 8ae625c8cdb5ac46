package api_test

import (
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// badBodies are refused by every route that takes a body with that text field.
func badBodies(field string) map[string]any {
	return map[string]any{
		"empty":             "",
		"array":             "[]",
		"null":              "null",
		"text":              `"x"`,
		"number":            "1",
		"broken":            `{"` + field + `":`,
		"trailing":          `{} {}`,
		"unknown_field":     object{"nonsense": 1},
		"wrong_type":        object{field: 7},
		"wrong_type_object": object{field: object{}},
		"nul":               `{"` + field + `":"a\u0000b"}`,
		"lone_surrogate":    `{"` + field + `":"\ud800"}`,
		"latin1":            []byte(`{"` + field + "\":\"\xff\"}"),
		"twice":             `{"` + field + `":"a","` + field + `":"b"}`,
		"too_large":         `{"` + field + `":"` + strings.Repeat("x", 1<<20) + `"}`,
		"too_long": object{
			field: strings.Repeat("x", 20001),
		},
		"deep":        strings.Repeat(`{"a":`, 10000) + "1" + strings.Repeat("}", 10000),
		"huge_number": `{"metadata":{"n":1e999}}`,
		"tiny_number": `{"metadata":{"n":1e-99999}}`,
		"zero_number": `{"metadata":{"n":0e99999999999}}`,
		"long_number": `{"metadata":{"n":0.` + strings.Repeat("1", 16384) + `}}`,
	}
}

func TestPathIDs(t *testing.T) {
	t.Parallel()
	b := setup(t)
	unknown := uuid.NewString()
	phone := idOf(b.interview("PHONE"))
	for _, id := range []string{"invalid-uuid", "1", unknown, "%00", "0x", "urn:uuid:" + unknown, "%ff"} {
		for path, methods := range map[string][]string{
			"/jobs/":       {"GET", "PATCH", "DELETE"},
			"/candidates/": {"GET", "PATCH", "DELETE"},
			"/agents/":     {"GET", "PATCH", "DELETE"},
			"/interviews/": {"GET", "DELETE"},

			"/interviews/" + phone + "/call-attempts/": {"DELETE"},
		} {
			for _, method := range methods {
				b.do(method, path+id, nil).fails(404, "RESOURCE_NOT_FOUND")
			}
		}
		for _, call := range []string{
			"GET /candidates/ID/analyses", "GET /candidates/ID/interviews", "POST /interviews/ID/cancel", "GET /interviews/ID/analysis",
			"POST /interviews/ID/analysis", "POST /interviews/ID/call-attempts", "PATCH /interviews/ID/call-attempts/" + unknown,
		} {
			method, path, _ := strings.Cut(call, " ")
			b.do(method, strings.Replace(path, "ID", id, 1), nil).fails(404, "RESOURCE_NOT_FOUND")
		}
	}
	e := b.do("GET", "/jobs/invalid-uuid", nil).fails(404, "RESOURCE_NOT_FOUND")
	require.Equal(t, "invalid-uuid", e.Error.Details["resourceId"], "1.12: the id is echoed as it was given")
}

// Another company's key may do nothing with any row that a path or a body names.
func TestCompanyIsolation(t *testing.T) {
	t.Parallel()
	b := setup(t)
	job, agent := b.job(), b.agent("PHONE")
	candidate := b.candidate(object{"jobId": job["id"]})
	interview := b.made("/interviews", object{"candidateId": candidate["id"], "agentId": agent["id"]})
	ids := strings.NewReplacer(
		"JOB",
		idOf(job),
		"AGENT",
		idOf(agent),
		"CANDIDATE",
		idOf(candidate),
		"INTERVIEW",
		idOf(interview),
		"CALL",
		firstCall(interview),
	)
	calls := []string{
		"GET /jobs/JOB",
		"PATCH /jobs/JOB",
		"DELETE /jobs/JOB",
		"GET /agents/AGENT",
		"PATCH /agents/AGENT",
		"DELETE /agents/AGENT",
		"GET /candidates/CANDIDATE",
		"PATCH /candidates/CANDIDATE",
		"DELETE /candidates/CANDIDATE",
		"GET /candidates/CANDIDATE/analyses",
		"GET /candidates/CANDIDATE/interviews",
		"GET /interviews/INTERVIEW",
		"DELETE /interviews/INTERVIEW",
		"POST /interviews/INTERVIEW/cancel",
		"POST /interviews/INTERVIEW/call-attempts",
		"PATCH /interviews/INTERVIEW/call-attempts/CALL",
		"DELETE /interviews/INTERVIEW/call-attempts/CALL",
		"GET /interviews/INTERVIEW/analysis",
		"POST /interviews/INTERVIEW/analysis",
	}
	for _, call := range calls {
		method, path, _ := strings.Cut(ids.Replace(call), " ")
		b.leaves(func() { b.as(b.otherKey, method, path, object{}).fails(403, "RESOURCE_ACCESS_DENIED") })
		b.leaves(func() {
			b.as(b.platformKey, method, path+"?companyId="+b.other.String(), object{}).fails(403, "RESOURCE_ACCESS_DENIED")
		})
	}
	for _, list := range []string{"/jobs", "/agents", "/candidates", "/interviews"} {
		require.Empty(t, b.as(b.otherKey, "GET", list, nil).items(), list)
		require.Empty(
			t,
			b.as(b.otherKey, "GET", list+"?companyId="+b.company.String(), nil).items(),
			"a company's key ignores companyId",
		)
		require.Len(t, b.as(b.platformKey, "GET", list+"?companyId="+b.company.String(), nil).items(), 1, list)
		require.Empty(t, b.as(b.platformKey, "GET", list+"?companyId="+b.other.String(), nil).items(), list)
		require.Len(t, b.as(b.platformKey, "GET", list, nil).items(), 1, list)
	}
	b.leaves(func() { // what a body names must be the company's too
		inline := object{"firstName": "A", "lastName": "B", "gdprExpiryDate": "2030-01-01"}
		for _, body := range []object{
			{"candidateId": candidate["id"], "agent": object{"name": "A", "type": "ONLINE", "focus": "GENERIC"}},
			{"candidate": inline, "agentId": agent["id"], "job": object{"jobTitle": "Engineer"}},
			{"candidate": inline, "agent": object{"name": "A", "type": "ONLINE"}, "jobId": job["id"]},
		} {
			b.as(b.otherKey, "POST", "/interviews", body).fails(403, "RESOURCE_ACCESS_DENIED")
		}
		b.as(b.otherKey, "POST", "/candidates", object{"firstName": "A", "lastName": "B", "jobId": job["id"]}).
			fails(403, "RESOURCE_ACCESS_DENIED")
	})
	require.Equal(t, interview, b.get("/interviews/"+idOf(interview)), "nothing has changed")
}

func TestPlatformKeyCreatesForACompany(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for path, body := range map[string]object{
		"/jobs": {"title": "Engineer"}, "/agents": {"name": "A", "type": "ONLINE"}, "/candidates": {"firstName": "A", "lastName": "B"},
	} {
		b.leaves(func() {
			b.as(b.platformKey, "POST", path, body).fails(400, "MISSING_REQUIRED_FIELD", "companyId")
			b.as(b.platformKey, "POST", path+"?companyId="+uuid.NewString(), body).fails(404, "RESOURCE_NOT_FOUND")
			b.as(b.platformKey, "POST", path+"?companyId=x", body).fails(400, "VALIDATION_ERROR", "companyId")
		})
		got := b.as(b.platformKey, "POST", path+"?companyId="+b.other.String(), body).is(201)
		require.Equal(t, b.other.String(), got["companyId"])
	}
}

func TestInterviewSideScopes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	unknown := uuid.NewString()
	for _, tc := range []struct{ method, path, scope string }{
		{"GET", "/jobs", "read:jobs"},
		{"POST", "/jobs", "write:jobs"},
		{"GET", "/jobs/ID", "read:jobs"},
		{"PATCH", "/jobs/ID", "write:jobs"},
		{"DELETE", "/jobs/ID", "delete:jobs"},
		{"GET", "/candidates", "read:candidates"},
		{"POST", "/candidates", "write:candidates"},
		{"GET", "/candidates/ID", "read:candidates"},
		{"PATCH", "/candidates/ID", "write:candidates"},
		{"DELETE", "/candidates/ID", "delete:candidates"},
		{"GET", "/candidates/ID/analyses", "read:candidates"},
		{"GET", "/candidates/ID/interviews", "read:candidates"},
		{"GET", "/agents", "read:agents"},
		{"POST", "/agents", "write:agents"},
		{"GET", "/agents/ID", "read:agents"},
		{"PATCH", "/agents/ID", "write:agents"},
		{"DELETE", "/agents/ID", "delete:agents"},
		{"GET", "/interviews", "read:interviews"},
		{"POST", "/interviews", "write:interviews"},
		{"GET", "/interviews/ID", "read:interviews"},
		{"DELETE", "/interviews/ID", "delete:interviews"},
		{"POST", "/interviews/ID/cancel", "write:interviews"},
		{"POST", "/interviews/ID/call-attempts", "write:interviews"},
		{"PATCH", "/interviews/ID/call-attempts/ID", "write:interviews"},
		{"DELETE", "/interviews/ID/call-attempts/ID", "delete:interviews"},
		{"GET", "/interviews/ID/analysis", "read:interviews"},
		{"POST", "/interviews/ID/analysis", "write:interviews"},
	} {
		all := []string{
			"read:jobs", "write:jobs", "delete:jobs", "read:candidates", "write:candidates", "delete:candidates", "read:agents",
			"write:agents", "delete:agents", "read:interviews", "write:interviews", "delete:interviews",
		}
		var others []string
		for _, s := range all {
			if s != tc.scope {
				others = append(others, s)
			}
		}
		path := strings.ReplaceAll(tc.path, "ID", unknown)
		without, _ := b.newKey(&b.company, others...)
		e := b.as(without, tc.method, path, object{}).fails(403, "INSUFFICIENT_PERMISSIONS")
		require.Equal(t, "This API key does not have the required scope: "+tc.scope, e.Error.Message)
		with, _ := b.newKey(&b.company, all...)
		require.NotEqual(t, 403, b.as(with, tc.method, path, object{}).Status)
	}
	t.Run("2.8_more_scopes", func(t *testing.T) {
		for _, tc := range []struct {
			method, path string
			has          []string
			lacks        string
		}{
			{"GET", "/candidates?jobId=" + unknown, []string{"read:candidates"}, "read:jobs"},
			{"POST", "/candidates", []string{"write:candidates"}, "read:jobs"},
			{"GET", "/interviews", []string{"read:interviews", "read:agents"}, "read:candidates"},
			{"GET", "/interviews", []string{"read:interviews", "read:candidates"}, "read:agents"},
			{"POST", "/interviews", []string{"write:interviews", "read:agents"}, "read:candidates"},
			{"POST", "/interviews", []string{"write:interviews", "read:candidates"}, "read:agents"},
			{"GET", "/candidates/" + unknown + "/analyses", []string{"read:candidates"}, "read:interviews"},
			{"GET", "/candidates/" + unknown + "/interviews", []string{"read:candidates", "read:interviews"}, "read:agents"},
		} {
			key, _ := b.newKey(&b.company, tc.has...)
			e := b.as(key, tc.method, tc.path, object{}).fails(403, "INSUFFICIENT_PERMISSIONS")
			require.Equal(t, object{"requiredScope": tc.lacks}, e.Error.Details)
			key, _ = b.newKey(&b.company, append(tc.has, tc.lacks)...)
			require.NotEqual(t, 403, b.as(key, tc.method, tc.path, object{}).Status)
		}
	})
}
