package inflight_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"greenroom/activities/inflight"
)

// fill takes all free places of an endpoint.
func fill(e *inflight.Endpoints, hook uuid.UUID) (ids []uuid.UUID) {
	for id := uuid.New(); e.Acquire(hook, id, time.Hour); id = uuid.New() {
		ids = append(ids, id)
	}
	return ids
}

// answer ends the attempts after they took so long, all with the same feedback.
func answer(e *inflight.Endpoints, hook uuid.UUID, ids []uuid.UUID, took time.Duration, f inflight.Feedback) {
	for _, id := range ids {
		e.Finish(hook, id, took, f)
	}
}

// widen makes an endpoint's places grow to at least n. It does not wait, and leaves none of them in use.
func widen(e *inflight.Endpoints, hook uuid.UUID, n int) {
	for {
		ids := fill(e, hook)
		answer(e, hook, ids, time.Second, inflight.Accepted)
		if len(ids) >= n {
			return
		}
	}
}

func TestPlacesAdaptToTheAnswers(t *testing.T) {
	t.Parallel()
	type round struct {
		use      int // of the places; 0 is all
		took     time.Duration
		feedback inflight.Feedback
	}
	accepted := round{took: 100 * time.Millisecond, feedback: inflight.Accepted}
	overloaded := round{took: 100 * time.Millisecond, feedback: inflight.Overloaded}
	times := func(r round, n int) (rs []round) {
		for range n {
			rs = append(rs, r)
		}
		return rs
	}
	tests := map[string]struct {
		ceiling int
		rounds  []round
		want    int
	}{
		"begins_with_ten":                   {64, nil, 10},
		"begins_below_a_ceiling":            {3, nil, 3},
		"one_more_for_each_round":           {64, times(accepted, 5), 14}, // a little less than one
		"up_to_the_ceiling":                 {12, times(accepted, 20), 12},
		"not_while_places_are_free":         {64, times(round{9, time.Second, inflight.Accepted}, 50), 10},
		"not_by_other_answers":              {64, times(round{0, time.Second, inflight.Unclear}, 50), 10},
		"half_for_a_round_of_time_outs":     {64, times(overloaded, 1), 5},
		"half_again_for_the_next_round":     {64, times(overloaded, 2), 2},
		"never_none":                        {64, times(overloaded, 20), 1},
		"grows_again_from_one":              {64, append(times(overloaded, 20), times(accepted, 12)...), 11},
		"a_single_failure_halves":           {64, []round{{1, time.Second, inflight.Overloaded}}, 5},
		"few_attempts_in_flight_do_not_add": {64, times(round{1, time.Second, inflight.Accepted}, 50), 10},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				e, hook := inflight.NewEndpoints(tt.ceiling, nil), uuid.New()
				for _, r := range tt.rounds {
					var ids []uuid.UUID
					if r.use == 0 {
						ids = fill(e, hook)
					}
					for range r.use {
						ids = append(ids, uuid.New())
						require.True(t, e.Acquire(hook, ids[len(ids)-1], time.Hour))
					}
					time.Sleep(r.took)
					answer(e, hook, ids, r.took, r.feedback)
					time.Sleep(time.Millisecond)
				}
				require.Len(t, fill(e, hook), tt.want)
			})
		})
	}
}

// Attempts that began before the places were halved say nothing new.
func TestPlacesAreHalvedOncePerRound(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e, hook := inflight.NewEndpoints(64, nil), uuid.New()
		widen(e, hook, 40)
		ids := fill(e, hook)
		size := len(ids)
		for _, id := range ids { // one after the other, as they are recorded
			time.Sleep(10 * time.Millisecond)
			e.Finish(hook, id, 15*time.Second, inflight.Overloaded)
		}
		require.Len(t, fill(e, hook), size/2)
	})
}

// A receiver that turns slow loses places, and has them again once it answers.
func TestPlacesComeBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e, hook := inflight.NewEndpoints(64, nil), uuid.New()
		widen(e, hook, 64)
		for _, f := range []inflight.Feedback{inflight.Overloaded, inflight.Overloaded, inflight.Overloaded} {
			ids := fill(e, hook)
			time.Sleep(time.Second)
			answer(e, hook, ids, time.Second, f)
			time.Sleep(time.Second)
		}
		require.Len(t, fill(e, hook), 8)
		e2 := inflight.NewEndpoints(64, nil)
		widen(e2, hook, 64)
		require.Len(t, fill(e2, hook), 64, "never more than the ceiling")
	})
}
