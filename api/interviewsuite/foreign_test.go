package interviewsuite_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"greenroom/api/apitest"
	"greenroom/db"
)

// TestForeignKey calls every route with another company's key, which must not reveal anything.
func TestForeignKey(t *testing.T) {
	t.Parallel()
	e, f := foreignMedia(t)
	e.Do("PATCH", pathOfCompany(e.company), object{"city": apitest.Marker}).Is(http.StatusAccepted)
	customer := e.Do("POST", pathOfCompany(e.company)+"customers/", object{
		"username": "eva", "role": apitest.Marker, "password": password,
	}).Is(http.StatusCreated)
	e.upload("PUT", pathOf(t, customer["resource_uri"])+"photo/", picture).Is(http.StatusAccepted)
	e.Do("PATCH", e.inProject, object{"evaluators": []any{customer["user"]}}).Is(http.StatusAccepted)
	invited := e.Do("POST", e.inProject+"candidates/", ada(object{"last_name": apitest.Marker})).Is(http.StatusCreated)

	const company = "/api/v3/companies/:company"
	f.Rows["/api/v3/company-by-identifier/:identifier"] = e.company.Identifier
	f.Rows[company+"/customers/:customer"] = idIn(customer)
	f.Rows["/cfev3/register/:key"] = "00" + invited["interview_key"].(string)[:28] + "00" // a valid key would authenticate the candidate
	pending := e.Do("POST", pathOfCompany(e.company)+"customers/", object{"username": "max"}).Is(http.StatusCreated)
	f.Rows["/cfev3/activate/:key"] = "00" + pending["activation_key"].(string)[:28] + "00" // likewise
	f.Textless = append(f.Textless, company+"/billing/", company+"/design/", company+"/account/", company+"/security/",
		company+"/projects/:project/roles/")
	apitest.WalkForeign(t, e.Bundle, "interview-suite", f)

	t.Run("rows_of_two_companies_are_not_mixed", func(t *testing.T) {
		other, err := db.GetCompany(e.Ctx, e, e.Other)
		require.NoError(t, err)
		at := pathOfCompany(other)
		own := e.As(e.OtherKey, "POST", at+"projects/", object{"name": "Own"}).Is(http.StatusCreated)
		inOwn := pathOf(t, own["resource_uri"])
		for _, address := range []string{
			at + "customers/" + idIn(customer) + "/", fmt.Sprintf("%sprojects/%d/", at, e.project.Number),
			fmt.Sprintf("%scandidates/%d/", inOwn, e.candidate.Number), fmt.Sprintf("%squestions/%d/", inOwn, e.question.Number),
			fmt.Sprintf("%sresults/%d/", inOwn, e.candidate.Number), at + "videos/" + f.Rows[company+"/videos/:video"] + "/",
		} {
			refused(e.As(e.OtherKey, "GET", address, nil), http.StatusNotFound, notFound)
		}
		for _, ref := range []any{customer["user"], customer["resource_uri"]} {
			refusedField(e.As(e.OtherKey, "PATCH", inOwn, object{"evaluators": []any{ref}}), "evaluators")
		}
		require.Empty(t, objects(t, e.As(e.OtherKey, "GET", at+"customers/?username=eva", nil)))
		body := object{"username": "eva", "password": password, "company": other.Identifier}
		refusedField(e.As("", "POST", tokens, body), "non_field_errors")
	})
	t.Run("no_key_opens_nothing", func(t *testing.T) {
		for _, path := range []string{pathOfCompany(e.company), e.inProject, e.inCandidate, e.inProject + "results/"} {
			refused(e.As("", "GET", path, nil), http.StatusUnauthorized, "Authentication credentials were not provided.")
		}
	})
}
