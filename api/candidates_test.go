package api_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

func TestCandidates(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first, second := b.job(), b.job()
	full := object{
		"firstName":      "Žofia",
		"lastName":       "Nováková",
		"email":          "zofia@example.com",
		"phoneNumber":    "+421900123456",
		"status":         "INTERVIEWING",
		"gdprExpiryDate": "2031-12-31",
		"overallRating":  85.0,
		"metadata":       object{"source": "ats"},
	}
	t.Run("2.12_all_fields_come_back", func(t *testing.T) {
		got := b.made("/candidates", object{"jobId": second["id"], "jobIds": []any{first["id"], second["id"]}}, full)
		for field, value := range full {
			require.Equal(t, value, got[field], field)
		}
		require.Equal(t, second["id"], got["jobId"])
		require.Equal(t, []any{second["id"], first["id"]}, got["jobIds"])
		require.Equal(t, object{
			"analyses": "/candidates/" + idOf(got) + "/analyses", "interviews": "/candidates/" + idOf(got) + "/interviews",
		}, got["links"])
		require.EqualValues(t, 0, got["analysisCount"])
		require.EqualValues(t, 0, got["interviewCount"])
		require.Equal(t, got, b.get("/candidates/"+idOf(got)))
	})
	t.Run("2.12_a_job_is_optional", func(t *testing.T) {
		got := b.made("/candidates", object{"firstName": "A", "lastName": "B"})
		require.Nil(t, got["jobId"])
		require.Equal(t, []any{}, got["jobIds"])
		require.Equal(t, "APPLIED", got["status"])
		require.Nil(t, got["gdprExpiryDate"])
	})
	t.Run("update_changes_only_what_is_sent", func(t *testing.T) {
		id := idOf(b.made("/candidates", object{"jobIds": []any{first["id"]}}, full))
		got := b.do("PATCH", "/candidates/"+id, object{"status": "HIRED", "email": nil, "gdprExpiryDate": nil}).is(200)
		require.Equal(t, "HIRED", got["status"])
		require.Nil(t, got["email"])
		require.Nil(t, got["gdprExpiryDate"])
		require.Equal(t, []any{first["id"]}, got["jobIds"])
		require.Equal(t, got, b.get("/candidates/"+id))
		got = b.do("PATCH", "/candidates/"+id, object{"jobId": second["id"]}).is(200)
		require.Equal(t, []any{second["id"], first["id"]}, got["jobIds"], "jobId becomes the first and keeps the others")
		got = b.do("PATCH", "/candidates/"+id, object{"jobIds": []any{}}).is(200)
		require.Equal(t, []any{}, got["jobIds"], "jobIds replaces all")
		require.Equal(t, got, b.get("/candidates/"+id))
		b.leaves(func() {
			require.Equal(t, got, b.do("PATCH", "/candidates/"+id, object{}).is(200), "nothing sent, nothing changed, no event")
		})
	})
	t.Run("unknown_job_is_404_and_leaves_nothing", func(t *testing.T) {
		id := idOf(b.candidate(object{"jobId": first["id"]}))
		unknown := uuid.NewString()
		b.leaves(func() {
			e := b.do("POST", "/candidates", object{"firstName": "A", "lastName": "B", "jobIds": []any{first["id"], unknown}}).
				fails(404, "RESOURCE_NOT_FOUND")
			require.Equal(t, object{"resourceType": "Job", "resourceId": unknown}, e.Error.Details)
			b.do("PATCH", "/candidates/"+id, object{"jobIds": []any{unknown}, "firstName": "X"}).fails(404, "RESOURCE_NOT_FOUND")
		})
		require.Equal(t, "Ada", b.get("/candidates/" + id)["firstName"])
	})
	t.Run("events_carry_no_personal_data", func(t *testing.T) {
		b := setup(t)
		id := idOf(b.candidate())
		require.Equal(t, object{"candidateId": id, "jobIds": []any{}, "status": "APPLIED"}, b.lastEvent("candidate.created"))
		b.do("PATCH", "/candidates/"+id, object{"status": "HIRED"}).is(200)
		require.Equal(t, "HIRED", b.lastEvent("candidate.updated")["status"])
		require.Equal(t, []string{"candidate.created", "candidate.updated"}, b.events())
	})
	t.Run("limits", func(t *testing.T) {
		id := idOf(b.candidate())
		for field, bad := range map[string]any{
			"firstName": strings.Repeat("x", 101), "lastName": strings.Repeat("x", 101), "email": "nobody", "phoneNumber": "0900 123 456",
			"status": "applied", "gdprExpiryDate": "31.12.2031", "overallRating": 101, "metadata": "x", "jobId": "x", "jobIds[0]": []any{"x"},
		} {
			name, _, _ := strings.Cut(field, "[")
			body := object{"firstName": "A", "lastName": "B", name: bad}
			b.do("POST", "/candidates", body).fails(400, "VALIDATION_ERROR", field)
			b.do("PATCH", "/candidates/"+id, object{name: bad}).fails(400, "VALIDATION_ERROR", field)
		}
		for _, date := range []any{"0000-01-01", "2031-02-30", "2031-1-1", "", 20310101, "2031-01-01T00:00:00Z"} {
			b.do("POST", "/candidates", object{"firstName": "A", "lastName": "B", "gdprExpiryDate": date}).
				fails(400, "VALIDATION_ERROR", "gdprExpiryDate")
		}
		b.do("POST", "/candidates", object{"lastName": "B"}).fails(400, "MISSING_REQUIRED_FIELD", "firstName")
		b.do("POST", "/candidates", object{"firstName": "B"}).fails(400, "MISSING_REQUIRED_FIELD", "lastName")
		b.refuses("POST", "/candidates", badBodies("firstName"))
		b.refuses("PATCH", "/candidates/"+id, badBodies("firstName"))
	})
}

func TestCandidateList(t *testing.T) {
	t.Parallel()
	b := setup(t)
	job := b.job()
	ada := b.candidate(object{"jobId": job["id"]})
	grace := b.candidate(object{"firstName": "Grace", "lastName": "Hopper", "email": "grace@navy.test", "status": "HIRED"})
	for query, want := range map[string][]object{
		"": {grace, ada}, "jobId=" + idOf(job): {ada}, "status=HIRED": {grace}, "search=ada+BY": {ada}, "search=navy": {grace},
		"search=%25": {}, "search=_": {}, "jobId=" + uuid.NewString(): {}, "limit=1": {grace}, "limit=1&page=2": {ada}, "page=3": {},
		"search=" + url.QueryEscape("' OR 1=1 --"): {},
	} {
		require.Equal(t, want, b.do("GET", "/candidates?"+query, nil).items(), query)
	}
	for query, field := range map[string]string{
		"jobId=x": "jobId", "status=x": "status", "search=%00": "search", "search=%ff": "search", "search=" + strings.Repeat("x", 256): "search",
		"page=0": "page", "limit=1000": "limit",
	} {
		b.do("GET", "/candidates?"+query, nil).fails(400, "VALIDATION_ERROR", field)
	}
}

func TestDeletedCandidate(t *testing.T) {
	t.Parallel()
	b := setup(t)
	i := b.interview("PHONE")
	id := i["candidateId"].(string)
	var answer bool
	b.do("DELETE", "/candidates/"+id, nil).into(http.StatusOK, &answer)
	require.True(t, answer)
	b.do("GET", "/candidates/"+id, nil).fails(404, "RESOURCE_NOT_FOUND")
	require.Empty(t, b.do("GET", "/candidates", nil).items())
	got := b.get("/interviews/" + idOf(i))
	require.Equal(t, "CANCELED", got["status"], "a person who asked to be removed is not called")
	require.Equal(t, "CANDIDATE_DELETED", got["statusReason"])
	b.do("POST", "/interviews", object{"candidateId": id, "agentId": i["agentId"]}).fails(404, "RESOURCE_NOT_FOUND")
}

func TestCandidatesInterviewsAndAnalyses(t *testing.T) {
	t.Parallel()
	b := setup(t)
	i := b.completed()
	other := b.interview("ONLINE")
	id := i["candidateId"].(string)
	b.made(
		"/interviews/"+idOf(i)+"/analysis",
		object{"general": object{"overallRating": 71.5, "companyFitRating": "HIGH"}},
	)
	got := b.get("/candidates/" + id)
	require.EqualValues(t, 1, got["analysisCount"])
	require.EqualValues(t, 1, got["interviewCount"])
	require.InDelta(t, 71.5, got["overallRating"], 0, "of the newest analysis")
	links := got["links"].(object)
	analyses := b.do("GET", links["analyses"].(string), nil).items()
	require.Len(t, analyses, 1)
	require.Equal(t, b.get("/interviews/"+idOf(i)+"/analysis"), analyses[0])
	interviews := b.do("GET", links["interviews"].(string), nil).items()
	require.Len(t, interviews, 1)
	require.Equal(t, idOf(i), interviews[0]["id"])
	require.Empty(t, b.do("GET", fmt.Sprintf("/candidates/%s/analyses", other["candidateId"]), nil).items())
}
