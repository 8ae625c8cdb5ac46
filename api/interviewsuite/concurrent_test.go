package interviewsuite_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestConcurrent_changes_of_different_fields_are_all_kept: most fields share one column, so a change that was computed
// from a stale row would undo another one.
func TestConcurrent_changes_of_different_fields_are_all_kept(t *testing.T) {
	t.Parallel()
	e := newEvaluated(t)
	company := pathOfCompany(e.company)
	eva := e.Do("POST", company+"customers/", object{"username": "eva"}).Is(http.StatusCreated)
	for name, tt := range map[string]struct {
		path   string
		fields string
		values func(round int) any
	}{
		"company":   {company, "city address state_province division phone postcode", text},
		"project":   {e.inProject, "name email_alias mode internal_id contact_person", text},
		"candidate": {e.inCandidate, "first_name username phone address", text},
		"customer":  {pathOf(t, eva["resource_uri"]), "first_name preferred_language phone role position", text},
		"question": {
			pathOf(t, e.answer["question"]), "position max_answer_time preparation_time",
			func(round int) any { return float64(round + 1) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			for round := range 5 {
				want := object{}
				var wg sync.WaitGroup
				for _, field := range strings.Fields(tt.fields) {
					want[field] = tt.values(round)
					wg.Go(func() {
						r := e.Do("PATCH", tt.path, object{field: tt.values(round)})
						if r.Status != http.StatusAccepted {
							t.Errorf("%s answered %d: %s", field, r.Status, r.Body)
						}
					})
				}
				wg.Wait()
				got := e.Do("GET", tt.path, nil).Is(http.StatusOK)
				for field, value := range want {
					require.Equal(t, value, got[field], "%s in round %d", field, round)
				}
			}
		})
	}
}

func text(round int) any { return strings.Repeat("x", round+1) }
