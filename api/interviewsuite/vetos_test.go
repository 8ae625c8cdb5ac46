package interviewsuite_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"greenroom/db"
)

// TestVetos: a user objects to a candidate once, in a project that has vetos, and the results show it.
func TestVetos(t *testing.T) {
	t.Parallel()
	e := newEvaluated(t)
	vetos := e.inCandidate + "vetos/"

	t.Run("one_of_each_user", func(t *testing.T) {
		refused(e.As(e.ada, "POST", vetos, object{"comment": "Again"}), http.StatusBadRequest,
			"There is a veto of this user against this candidate already.")
		second := e.As(e.bob, "POST", vetos, object{}).Is(http.StatusCreated)
		require.Empty(t, second["comment"], "a reason is not required")
		ofKey := e.Do("POST", vetos, object{"comment": "From the ATS"}).Is(http.StatusCreated)
		require.Nil(t, ofKey["evaluator"])
		refused(e.Do("POST", vetos, object{}), http.StatusBadRequest,
			"There is a veto of this user against this candidate already.")
		require.Len(t, objects(t, e.Do("GET", vetos, nil)), 3)
		require.Len(
			t,
			e.Do("GET", e.inProject+"results/"+idIn(object{"resource_uri": strings.TrimSuffix(e.inCandidate, "/")})+
				"/", nil).Is(http.StatusOK)["vetos"],
			3,
		)
	})
	t.Run("its_user_and_administrators_change_it", func(t *testing.T) {
		at := pathOf(t, e.veto["resource_uri"])
		refused(e.As(e.bob, "PATCH", at, object{"comment": "x"}), http.StatusForbidden, forbidden)
		refused(e.As(e.bob, "DELETE", at, nil), http.StatusForbidden, forbidden)
		changed := e.As(e.ada, "PATCH", at, object{"comment": "Until 2019", "evaluator": "x"}).Is(http.StatusAccepted)
		require.Equal(t, "Until 2019", changed["comment"])
		require.Equal(t, e.veto["evaluator"], changed["evaluator"], "read only")
		require.Equal(t, changed, e.As(e.bob, "GET", at, nil).Is(http.StatusOK))
		refusedField(e.As(e.ada, "PATCH", at, object{"comment": strings.Repeat("x", 10001)}), "comment")
		admin := e.token("max", db.Admin)
		require.Equal(t, http.StatusNoContent, e.As(admin, "DELETE", at, nil).Status)
		refused(e.As(e.ada, "GET", at, nil), http.StatusNotFound, notFound)
		e.As(e.ada, "POST", vetos, object{}).Is(http.StatusCreated)
	})
	t.Run("only_in_a_project_that_has_vetos", func(t *testing.T) {
		before := objects(t, e.Do("GET", vetos, nil))
		e.Do("PATCH", e.inProject, object{"veto_enabled": false}).Is(http.StatusAccepted)
		refused(e.As(e.token("eve", db.Recruiter), "POST", vetos, object{}), http.StatusBadRequest,
			"Vetos are not enabled in this project.")
		require.Equal(t, before, objects(t, e.Do("GET", vetos, nil)), "those that exist stay")
	})
	t.Run("a_manager_reads_and_does_not_object", func(t *testing.T) {
		manager := e.token("hal", db.HiringManager)
		e.As(manager, "GET", vetos, nil).Is(http.StatusOK)
		refused(e.As(manager, "POST", vetos, object{}), http.StatusForbidden, forbidden)
	})
	t.Run("has_no_event", func(t *testing.T) {
		for _, event := range e.events() {
			require.NotContains(t, event, "veto")
		}
	})
}

// TestVeto_alone begins the evaluation of a candidate.
func TestVeto_alone(t *testing.T) {
	t.Parallel()
	e := newEvaluated(t)
	for _, of := range []object{e.rating, e.note, e.private} {
		require.Equal(t, http.StatusNoContent, e.As(e.ada, "DELETE", pathOf(t, of["resource_uri"]), nil).Status)
	}
	results := objects(t, e.Do("GET", e.inProject+"results/", nil))
	require.Len(t, results, 1)
	require.Nil(t, results[0]["overall_rating"])
	require.Len(t, results[0]["vetos"], 1)
	require.Equal(t, http.StatusNoContent, e.As(e.ada, "DELETE", pathOf(t, e.veto["resource_uri"]), nil).Status)
	require.Empty(t, objects(t, e.Do("GET", e.inProject+"results/", nil)))
}
