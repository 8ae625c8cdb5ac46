package bench

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func accept() error { return nil }

func TestTrackerTellsLostFromRefusedAndTwice(t *testing.T) {
	t.Parallel()
	tr := newTracker(1, 3, 1, 2)
	require.NoError(t, tr.post(accept, 0))
	require.NoError(t, tr.post(accept, 1))
	require.Error(t, tr.post(func() error { return errors.New("refused") }, 2))
	tr.arrive(0, 0)
	tr.arrive(0, 1)
	tr.arrive(0, 1)
	tr.arrive(1, 0)
	tr.arrive(2, 0) // accepted without a response: neither lost nor twice
	tr.arrive(99, 0)
	tr.arrive(0, 7)
	require.Equal(t, 1, tr.missing())
	var r Result
	r.fill(tr)
	require.Equal(t, []int{2, 1, 4, 1, 1}, []int{r.Events, r.Refused, r.Deliveries, r.Duplicated, r.Lost})
}

func TestTrackerWaits(t *testing.T) {
	t.Parallel()
	fine := func() error { return nil }
	t.Run("until_all_have_arrived", func(t *testing.T) {
		t.Parallel()
		tr := newTracker(1, 1, 1, 1)
		require.NoError(t, tr.post(accept, 0))
		go func() { time.Sleep(20 * time.Millisecond); tr.arrive(0, 0) }()
		require.NoError(t, tr.wait(t.Context(), time.Minute, fine))
		require.Zero(t, tr.missing())
	})
	t.Run("no_longer_than_the_quiet_time", func(t *testing.T) {
		t.Parallel()
		tr := newTracker(1, 1, 1, 1)
		require.NoError(t, tr.post(accept, 0))
		require.NoError(t, tr.wait(t.Context(), time.Millisecond, fine))
		require.Equal(t, 1, tr.missing())
	})
	t.Run("and_says_what_broke", func(t *testing.T) {
		t.Parallel()
		tr := newTracker(1, 1, 1, 1)
		require.NoError(t, tr.post(accept, 0))
		require.ErrorIs(t, tr.wait(t.Context(), time.Millisecond, func() error { return errEnded }), errEnded)
	})
}

func TestPercentile(t *testing.T) {
	t.Parallel()
	hundred := make([]float64, 100)
	for i := range hundred {
		hundred[i] = float64(i + 1)
	}
	for p, want := range map[float64]float64{0: 1, 50: 50, 95: 95, 99: 99, 100: 100} {
		require.InDelta(t, want, percentile(hundred, p), 0, "p%v", p)
	}
	require.Zero(t, percentile(nil, 99))
	require.InDelta(t, 7, percentile([]float64{7}, 99), 0)
}

func TestEventBodyHasThePayloadAndTheReceiverReadsIt(t *testing.T) {
	t.Parallel()
	body := new(apiClient).eventBody(3, 98_765)
	require.JSONEq(
		t,
		fmt.Sprintf(`{"type":"interview.started","data":%s}`, body[len(`{"type":"interview.started","data":`):len(body)-1]),
		string(body),
	)
	require.Len(t, body, payloadBytes+len(`{"type":"interview.started","data":}`))
	require.Equal(t, 3, number(body, `"phase":`))
	require.Equal(t, 98_765, number(body, `"seq":`))
	require.Equal(t, -1, number(body, `"other":`))
	require.Equal(t, -1, number(body, `"text":`), "not a number")
}

func TestTenthsTellADrainThatSlowsDown(t *testing.T) {
	t.Parallel()
	var at []int64
	for i := range 100 {
		at = append(at, int64(i)*int64(time.Millisecond))
	}
	first, last := tenths(at)
	require.InDelta(t, 1000, first, 0.001)
	require.InDelta(t, 1000, last, 0.001)
	for i := range 10 {
		at[90+i] = at[89] + int64(i+1)*int64(10*time.Millisecond)
	}
	first, last = tenths(at)
	require.InDelta(t, 1000, first, 0.001)
	require.InDelta(t, 100, last, 0.001)
	first, last = tenths(at[:19])
	require.Zero(t, first+last, "too few")
}

func TestBetweenLooksAtOnePeriod(t *testing.T) {
	t.Parallel()
	tr := newTracker(1, 3, 1, 1)
	for i, sent := range []int64{1, 100, 200} {
		tr.events[i].sent.Store(sent * int64(time.Millisecond))
	}
	tr.arrivals[0].at.Store(150 * int64(time.Millisecond))
	tr.arrivals[1].at.Store(110 * int64(time.Millisecond))
	arrived, ms := tr.between(0, 100*int64(time.Millisecond))
	require.Zero(t, arrived)
	require.Equal(t, []float64{149}, ms)
	arrived, ms = tr.between(100*int64(time.Millisecond), 300*int64(time.Millisecond))
	require.Equal(t, 2, arrived)
	require.Equal(t, []float64{10}, ms)
}

func TestSomeScenariosRunOnRequestAlone(t *testing.T) {
	t.Parallel()
	all, err := choose(nil)
	require.NoError(t, err)
	onRequest := []string{
		"soak", "scale-1", "scale-2", "scale-4", "held-transaction", "waiting-retries", "waiting-interviews",
	}
	require.Len(t, all, len(scenarios)-len(onRequest))
	for _, s := range all {
		require.NotContains(t, onRequest, s.name)
	}
	require.Equal(t, 10*time.Minute, soakTime(Options{}))
	require.Equal(t, 2*time.Minute, soakTime(Options{Minutes: 2}))
}

func TestMediansAreOfEachFigureAndTheWorstOfFaults(t *testing.T) {
	t.Parallel()
	got := medians([]Result{
		{Scenario: "a", P99: 30, Lost: 0, ProcessorMS: map[string]float64{"api": 3}},
		{Scenario: "b", P99: 1},
		{Scenario: "a", P99: 10, Lost: 2, ProcessorMS: map[string]float64{"api": 1}},
		{Scenario: "a", P99: 20, Duplicated: 1, ProcessorMS: map[string]float64{"api": 2}},
	})
	require.Len(t, got, 2)
	require.Equal(t, "a", got[0].Scenario)
	require.InDelta(t, 20, got[0].P99, 0)
	require.InDelta(t, 2, got[0].ProcessorMS["api"], 0)
	require.Equal(t, 2, got[0].Lost)
	require.Equal(t, 1, got[0].Duplicated)
	require.InDelta(t, 1, got[1].P99, 0)
	require.InDelta(t, 15, median([]float64{20, 10}), 0)
}
