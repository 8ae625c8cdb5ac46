package interviewsuite_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"greenroom/api/apitest"
	"greenroom/db"
)

// TestLists_page_by_page fetches each list one object at a time: no object is lost, repeated or out of order.
func TestLists_page_by_page(t *testing.T) {
	t.Parallel()
	e := newEvaluated(t)
	company := pathOfCompany(e.company)
	for i := range 2 {
		eva := e.Do("POST", company+"customers/", object{"username": fmt.Sprint("eva", i)}).Is(http.StatusCreated)
		e.Do("PATCH", e.inProject, object{"reviewers": []any{eva["user"]}, "evaluators": []any{eva["user"]}}).
			Is(http.StatusAccepted)
		e.Do("POST", company+"projects/", object{"name": fmt.Sprint("Cook", i)}).Is(http.StatusCreated)
		e.upload("POST", company+"videos/", recording(100)).Is(http.StatusCreated)
		e.studio.answer(e.ask(fmt.Sprint("How", i)), recording(100))
		for _, value := range []float64{1, 2} {
			e.Do("POST", e.inCandidate+"ratings/", object{"value": value, "criterion": fmt.Sprint("skill", i)}).
				Is(http.StatusCreated)
		}
		e.Do("POST", e.inCandidate+"notes/", object{"text": fmt.Sprint("note", i), "shared": true}).Is(http.StatusCreated)
	}
	e.apply("Bob")
	for list, least := range map[string]int{
		company + "customers/":          4,
		company + "projects/":           3,
		company + "videos/":             2,
		e.inProject + "candidates/":     2,
		e.inProject + "questions/":      3,
		e.inProject + "results/":        1,
		e.inProject + "roles/":          2,
		e.inProject + "criteria/":       3,
		e.inCandidate + "answervideos/": 3,
		e.inCandidate + "ratings/":      5,
		e.inCandidate + "notes/":        3,
	} {
		t.Run(list, func(t *testing.T) {
			all := objects(t, e.Do("GET", list, nil))
			require.GreaterOrEqual(t, len(all), least)
			next, previous := any(apitest.PublicURL+list+"?page=1&page_size=1"), any(nil)
			var walked []apitest.Object
			for next != nil {
				at := next
				page := e.Do("GET", pathOf(t, at), nil).Is(http.StatusOK)
				meta := page["meta"].(apitest.Object)
				require.EqualValues(t, len(all), meta["total_count"])
				require.Equal(t, previous, meta["previous"])
				require.Len(t, page["objects"], 1)
				walked = append(walked, page["objects"].([]any)[0].(apitest.Object))
				next, previous = meta["next"], at
			}
			require.Equal(t, all, walked)
			past := fmt.Sprintf("%s?page=%d&page_size=1", list, len(all)+1)
			refused(e.Do("GET", past, nil), http.StatusNotFound, "Invalid page.")
			for query, field := range map[string]string{
				"page=0": "page", "page=1000001": "page", "page_size=0": "page_size", "page_size=2147483649": "page_size",
			} {
				refusedField(e.Do("GET", list+"?"+query, nil), field)
			}
			refusedField(e.Do("GET", list+"?page=1&page=2", nil), "page", "page is there twice.")
			refusedField(e.Do("GET", list+"?pages=1", nil), "pages", "pages is not a known query parameter.")
		})
	}
}

func TestLists_have_at_most_100_objects(t *testing.T) {
	b := setup(t)
	for i := range 101 {
		user := &db.Staff{CompanyID: b.Company, Username: fmt.Sprint("u", i), AccountType: db.Recruiter, IsActive: true}
		require.NoError(t, db.CreateStaff(b.Ctx, b, user))
	}
	list := b.at + "customers/"
	count := func(query string) int {
		return len(b.Do("GET", list+query, nil).Is(http.StatusOK)["objects"].([]any))
	}
	require.Equal(t, 20, count(""), "the default")
	require.Equal(t, 100, count("?page_size=100"))
	require.Equal(t, 100, count("?page_size=101"), "capped")
	require.Equal(t, 1, count("?page_size=500&page=2"), "the second page begins after the capped first one")
}

func TestLists_keep_filters_in_the_links(t *testing.T) {
	b := setup(t)
	b.customer("eva", "recruiter")
	b.customer("adam", "recruiter")
	meta := b.Do("GET", b.at+"customers/?username=EVA&page_size=1", nil).Is(http.StatusOK)["meta"]
	require.Equal(t, object{"total_count": 1.0, "previous": nil, "next": nil}, meta, "only the matching users are counted")
	meta = b.Do("GET", b.at+"customers/?username=&page_size=1", nil).Is(http.StatusOK)["meta"]
	require.Equal(t, apitest.PublicURL+b.at+"customers/?page=2&page_size=1&username=", meta.(object)["next"])
}
