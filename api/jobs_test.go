package api_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// fullJob has every field that reference §2.11 names.
func fullJob() object {
	return object{
		"title":            "Go engineer",
		"description":      "Builds services",
		"jobUrl":           "https://jobs.example.com/1",
		"benefits":         "Fruit",
		"requiredSkills":   []any{"Go", "PostgreSQL"},
		"niceToHaveSkills": []any{"Temporal"},
		"languageRequirements": []any{
			object{"language": "EN", "proficiency": "B2"},
			object{"language": "SK", "proficiency": "C1"},
		},
		"education": []any{
			"BACHELOR_LEVEL",
			"MASTER_LEVEL",
		},
		"experience":   "THREE_TO_5_YEARS",
		"contractType": "FULL_TIME",
		"status":       "OPEN",
		"location": object{
			"workMode": "HYBRID", "street": "Hlavná 1", "city": "Košice", "postalCode": "040 01", "countryCode": "SK",
		},
		"salary":   object{"min": 30000.0, "max": 45000.5, "currency": "EUR", "period": "YEARLY"},
		"metadata": object{"ats": object{"id": 7.0}},
	}
}

func TestJobs(t *testing.T) {
	t.Parallel()
	b := setup(t)
	t.Run("2.11_all_fields_come_back", func(t *testing.T) {
		got := b.made("/jobs", fullJob())
		for field, value := range fullJob() {
			require.Equal(t, value, got[field], field)
		}
		require.Equal(t, b.company.String(), got["companyId"])
		require.Equal(t, got, b.get("/jobs/"+idOf(got)))
		require.Equal(t, got, b.get("/v1/jobs/"+idOf(got)))
	})
	t.Run("2.11_minimal_create_has_defaults", func(t *testing.T) {
		got := b.job()
		require.Equal(t, "OPEN", got["status"])
		require.Equal(t, []any{}, got["niceToHaveSkills"], "unsent comes back as []")
		require.Equal(t, object{}, got["metadata"])
		require.Nil(t, got["location"])
	})
	t.Run("update_changes_only_what_is_sent", func(t *testing.T) {
		id := idOf(b.made("/jobs", fullJob()))
		got := b.do("PATCH", "/jobs/"+id, object{
			"title":          "Lead",
			"salary":         nil,
			"benefits":       nil,
			"requiredSkills": []any{},
			"status":         "CLOSED",
			"location":       object{"city": "Brno"},
		}).is(200)
		require.Equal(t, "Lead", got["title"])
		require.Nil(t, got["salary"])
		require.Equal(t, []any{}, got["requiredSkills"])
		require.Equal(t, []any{"Temporal"}, got["niceToHaveSkills"])
		require.Equal(t, "Brno", got["location"].(object)["city"])
		require.Nil(t, got["location"].(object)["street"], "an object is replaced as a whole")
		require.Equal(t, got, b.get("/jobs/"+id))
		b.do("PATCH", "/jobs/"+id, object{"title": nil}).fails(400, "VALIDATION_ERROR", "title")
		b.leaves(func() {
			require.Equal(t, got, b.do("PATCH", "/jobs/"+id, object{}).is(200), "nothing sent, nothing changed, no event")
		})
	})
	t.Run("deleted_is_gone", func(t *testing.T) {
		id := idOf(b.job())
		var answer bool
		b.do("DELETE", "/jobs/"+id, nil).into(http.StatusOK, &answer)
		require.True(t, answer)
		for _, method := range []string{"GET", "PATCH", "DELETE"} {
			e := b.do(method, "/jobs/"+id, nil).fails(404, "RESOURCE_NOT_FOUND")
			require.Equal(t, object{"resourceType": "Job", "resourceId": id}, e.Error.Details)
			require.Equal(t, "Job with ID "+id+" not found", e.Error.Message)
		}
	})
	t.Run("events", func(t *testing.T) {
		b := setup(t)
		id := idOf(b.job())
		require.Equal(t, object{"jobId": id, "title": "Backend engineer", "status": "OPEN"}, b.lastEvent("job.created"))
		b.do("PATCH", "/jobs/"+id, object{"status": "CLOSED"}).is(200)
		require.Equal(t, "CLOSED", b.lastEvent("job.updated")["status"])
		require.Equal(t, []string{"job.created", "job.updated"}, b.events())
	})
	t.Run("list_filters_by_status", func(t *testing.T) {
		b := setup(t)
		open := b.job()
		b.job(object{"status": "CLOSED"})
		items := b.do("GET", "/jobs?status=OPEN", nil).items()
		require.Len(t, items, 1)
		require.Equal(t, open, items[0])
		require.Len(t, b.do("GET", "/jobs", nil).items(), 2)
		b.do("GET", "/jobs?status=%00", nil).fails(400, "VALIDATION_ERROR", "status")
	})
}

func TestJobLimits(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := idOf(b.job())
	long := strings.Repeat("x", 10001)
	many := make([]string, 51)
	for i := range many {
		many[i] = "skill"
	}
	for field, bad := range map[string]any{
		"title": strings.Repeat("x", 201), "description": long, "jobUrl": "no url", "benefits": long, "requiredSkills": many,
		"niceToHaveSkills[0]": []string{strings.Repeat("x", 129)}, "requiredSkills[1]": []string{"Go", ""},
		"languageRequirements[0].proficiency": []object{{"language": "EN", "proficiency": "Z9"}},
		"languageRequirements[0].language":    []object{{"language": "E N", "proficiency": "B2"}},
		"education[0]":                        []string{"bachelor"}, "experience": "some years", "contractType": "full-time", "status": "open",
		"location.countryCode": object{"countryCode": "XX"}, "location.workMode": object{"workMode": "remote"},
		"salary.max": object{"min": 2, "max": 1}, "salary.min": object{"min": -1}, "salary.currency": object{"currency": "DOGE"},
		"metadata": []any{},
	} {
		name, _, _ := strings.Cut(strings.ReplaceAll(field, "[", "."), ".")
		body := object{"title": "Engineer", name: bad}
		b.do("POST", "/jobs", body).fails(400, "VALIDATION_ERROR", field)
		b.do("PATCH", "/jobs/"+id, object{name: bad}).fails(400, "VALIDATION_ERROR", field)
	}
	b.do("POST", "/jobs", object{}).fails(400, "MISSING_REQUIRED_FIELD", "title")
	b.do("POST", "/jobs", object{"title": ""}).fails(400, "VALIDATION_ERROR", "title")
	b.refuses("POST", "/jobs", badBodies("title"))
	b.refuses("PATCH", "/jobs/"+id, badBodies("title"))
}

// TestTextThatLooksLikeAnEscape: the six characters \u0000 are a text like any other.
func TestTextThatLooksLikeAnEscape(t *testing.T) {
	t.Parallel()
	b := setup(t, sources)
	metadata := object{`\u0000`: `a \u0000 ' \\u0000 \`}
	job := b.made("/jobs", object{"title": "T", "metadata": metadata})
	require.Equal(t, map[string]any(metadata), b.get("/jobs/" + idOf(job))["metadata"])
	agent := b.made("/agents", object{"name": "A", "type": "ONLINE", "questions": []string{`\u0000?`}})
	require.Equal(t, []any{`\u0000?`}, agent["questions"])
	b.do("POST", "/sourcing", object{"title": `\u0000`, "jobDescription": `\u0000`}).flat(202)
	hook := b.made("/webhooks", object{
		"url": hookURL, "profile": "standard", "events": []string{"interview.started"},
		"filter": object{"data": object{"a": `\u0000`}},
	})
	require.NotNil(t, hook["filter"])
}
