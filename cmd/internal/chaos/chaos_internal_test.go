package chaos

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"greenroom/db/delivery"
	"greenroom/db/pg"
)

func seconds(n float64) time.Duration { return time.Duration(n * float64(time.Second)) }

func TestPlanFollowsFromTheSeed(t *testing.T) {
	t.Parallel()
	opts := Options{Seed: 5, Faults: 200}
	require.NoError(t, opts.Normalize())
	shape := func() (names []string, drops int) {
		draws, err := plan(opts)
		require.NoError(t, err)
		for _, d := range draws {
			names = append(names, d.kind.name+d.before.String()+d.length.String())
			if d.kind.name == dropKind {
				drops++
			}
		}
		return names, drops
	}
	first, drops := shape()
	again, _ := shape()
	require.Equal(t, first, again)
	require.Equal(t, 1, drops, "Temporal's store is dropped once")
	opts.Seed++
	other, _ := shape()
	require.NotEqual(t, first, other)
	seen := strings.Join(first, " ")
	for _, k := range kinds {
		require.Contains(t, seen, k.name)
	}
}

func TestPlanOfTheDropAlone(t *testing.T) {
	t.Parallel()
	opts := Options{Seed: 1, Faults: 2, Kinds: []string{dropKind}}
	require.NoError(t, opts.Normalize())
	draws, err := plan(opts)
	require.NoError(t, err)
	require.Equal(t, dropKind, draws[0].kind.name)
	require.Equal(t, dropKind, draws[1].kind.name)
}

func TestExplain(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		row               row
		arrived, canceled bool
		explained         bool
	}{
		"succeeded":                             {row{Status: delivery.Succeeded}, true, false, true},
		"succeeded_but_never_arrived":           {row{Status: delivery.Succeeded}, false, false, false},
		"canceled_by_the_operator":              {row{Status: delivery.Canceled}, false, true, true},
		"canceled_by_nobody":                    {row{Status: delivery.Canceled}, false, false, false},
		"failed_after_its_schedule":             {row{Status: delivery.Failed, Made: 3, MaxRetries: 2}, false, false, true},
		"failed_too_early":                      {row{Status: delivery.Failed, Made: 2, MaxRetries: 2}, false, false, false},
		"failed_although_it_arrived":            {row{Status: delivery.Failed, Made: 1, MaxRetries: 2}, true, false, true},
		"paused_behind_an_open_circuit":         {row{Status: delivery.Paused, Open: true}, false, false, true},
		"paused_although_the_circuit_is_closed": {row{Status: delivery.Paused}, false, false, false},
		"retrying":                              {row{Status: delivery.Retrying}, false, false, false},
		"arrived_and_never_recorded":            {row{Status: delivery.Retrying}, true, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, c.explained, explain(c.row, c.arrived, c.canceled) != "")
		})
	}
}

func TestCausesAndUnbrokenTime(t *testing.T) {
	t.Parallel()
	faults := []Fault{
		{Kind: "worker-kill", Start: seconds(10), End: seconds(12)},
		{Kind: "temporal-kill", Start: seconds(11), End: seconds(20)},
		{Kind: "api-kill", Start: seconds(30), End: seconds(31)},
	}
	require.Equal(t, noFault, causeOf(faults, seconds(1), seconds(9)))
	require.Equal(t, "worker-kill", causeOf(faults, seconds(9), seconds(40)))
	require.Equal(t, "temporal-kill", causeOf(faults, seconds(13), seconds(40)))
	require.Equal(t, seconds(8), unbroken(faults, seconds(1), seconds(9)))
	require.Equal(t, seconds(1+10+4), unbroken(faults, seconds(9), seconds(35)), "overlapping faults are counted once")
	require.Equal(t, time.Duration(0), unbroken(faults, seconds(10.5), seconds(19)))
	require.Equal(t, seconds(31), lastEnd(faults))
}

func TestFiguresLookAtReceiversThatWereNeverBroken(t *testing.T) {
	t.Parallel()
	resent := pg.NewID()
	f := figures{
		hooks: []*hook{{robust: true}, {}},
		faults: []Fault{
			{Kind: "worker-kill", Start: seconds(10), End: seconds(12)},
			{Kind: "receiver-500", Start: seconds(10), End: seconds(50)},
		},
		resent: map[uuid.UUID]bool{resent: true},
		entries: []entry{
			{accepted: seconds(9), arrived: seconds(9.5)},
			{accepted: seconds(10), arrived: seconds(35), again: []time.Duration{seconds(36)}, deliveryID: "x"},
			{hook: 1, accepted: seconds(11), arrived: seconds(500)},
			{accepted: seconds(51), arrived: seconds(52), again: []time.Duration{seconds(60)}, deliveryID: resent.String()},
			{accepted: seconds(53)},
		},
	}
	flow, all := f.recovery()
	require.InDelta(t, 2, flow, 0.001)
	require.InDelta(t, 0, all, 0.001, "events accepted before the end of the last fault have arrived by then")
	silences, waits := f.silences(), f.waits()
	require.Len(t, silences, 2)
	require.InDelta(t, 25.5, silences[0].Seconds, 0.001)
	require.InDelta(t, 23.5, silences[0].UnbrokenS, 0.001, "a broken receiver does not stop deliveries to others")
	require.Equal(t, "worker-kill", silences[0].Cause)
	require.Len(t, waits, 3)
	causes := f.causes(silences, waits)
	require.Equal(t, "worker-kill", causes[0].Kind)
	require.Equal(t, 1, causes[0].Over20S)
	twice := map[string]int{}
	for _, c := range causes {
		twice[c.Kind] = c.Twice
	}
	require.Equal(t, 1, twice[resetKind], "caused by the operator's Reset")
	require.Equal(t, 1, twice[noFault], "a broken receiver causes no duplicates at another")
}

func TestLedger(t *testing.T) {
	t.Parallel()
	l := &ledger{start: time.Now()}
	seq, hook, keyed := l.add(2)
	require.Equal(t, []any{0, 0, true}, []any{seq, hook, keyed})
	seq, hook, _ = l.add(2)
	require.Equal(t, []int{1, 1}, []int{seq, hook})
	_, _, keyed = l.add(2)
	require.False(t, keyed, "every second turn")
	l.accept(0, pg.NewID())
	l.accept(1, pg.NewID())
	l.attempt(0, "a", false)
	l.attempt(0, "a", true)
	l.attempt(0, "a", true)
	l.attempt(1, "b", false)
	l.attempt(1, "c", false)
	l.attempt(99, "x", true)
	l.attempt(-1, "x", true)
	accepted, arrived := l.counts()
	require.Equal(t, []int{2, 1}, []int{accepted, arrived})
	entries := l.snapshot()
	require.Len(t, entries[0].again, 1)
	require.False(t, entries[0].split)
	require.True(t, entries[1].split, "one event under two ids")
}

func TestReceiverModes(t *testing.T) {
	t.Parallel()
	l := &ledger{start: time.Now()}
	seq, _, _ := l.add(1)
	require.Zero(t, seq)
	r, err := newReceiver(l)
	require.NoError(t, err)
	t.Cleanup(r.down)
	client := &http.Client{Timeout: 200 * time.Millisecond, Transport: &http.Transport{DisableKeepAlives: true}}
	post := func() (int, error) {
		resp, err := client.Post(r.url(), "application/json", strings.NewReader(`{"data":{"chaos":0,"text":"x"}}`))
		if err != nil {
			return 0, err
		}
		defer resp.Body.Close()
		return resp.StatusCode, nil
	}
	for m, want := range map[mode]int{healthy: 200, failing: 500, limiting: 429} {
		r.set(m)
		status, err := post()
		require.NoError(t, err)
		require.Equal(t, want, status)
	}
	for _, m := range []mode{hanging, resetting} {
		r.set(m)
		_, err := post()
		require.Error(t, err)
	}
	r.set(healthy)
	r.down()
	_, err = post()
	require.Error(t, err)
	require.NoError(t, r.up(t.Context()))
	status, err := post()
	require.NoError(t, err, "on the same port")
	require.Equal(t, 200, status)
	entries := l.snapshot()
	require.Equal(t, 6, entries[0].attempts)
	require.Len(t, entries[0].again, 1)
}

func TestAcceptedMeans2xxWithAnID(t *testing.T) {
	t.Parallel()
	const accepted = `{"data":{"id":"01a1fda2-6ed7-7017-9823-4e04d38f29d8"}}`
	_, ok := acceptedID(202, []byte(accepted))
	require.True(t, ok)
	for status, body := range map[int]string{503: accepted, 202: `{}`, 200: `x`} {
		_, ok := acceptedID(status, []byte(body))
		require.False(t, ok, body)
	}
	id, err := byDelivery("delivery:01a1fda2-6ed7-7017-9823-4e04d38f29d8:0")
	require.NoError(t, err)
	require.Equal(t, "01a1fda2-6ed7-7017-9823-4e04d38f29d8", id.String())
	_, err = byDelivery("circuit:01a1fda2-6ed7-7017-9823-4e04d38f29d8")
	require.Error(t, err)
}

func TestCheckFeed(t *testing.T) {
	t.Parallel()
	a, b, c, other := pg.NewID(), pg.NewID(), pg.NewID(), pg.NewID()
	stored := []uuid.UUID{a, b, c}
	for name, test := range map[string]struct {
		reader   *feedReader
		accepted []uuid.UUID
		want     FeedCheck
	}{
		"all_in_order":         {&feedReader{seen: stored, atEnd: true}, stored, FeedCheck{Events: 3, Ended: true}},
		"one_missed":           {&feedReader{seen: []uuid.UUID{a, c}, atEnd: true}, stored, FeedCheck{Events: 2, Missed: 1, Ended: true}},
		"one_twice":            {&feedReader{seen: []uuid.UUID{a, b, b, c}, atEnd: true}, nil, FeedCheck{Events: 4, Twice: 1, Ended: true}},
		"out_of_order":         {&feedReader{seen: []uuid.UUID{b, a, c}, atEnd: true}, nil, FeedCheck{Events: 3, Disorder: 1, Ended: true}},
		"one_that_is_not_kept": {&feedReader{seen: stored, atEnd: true}, []uuid.UUID{other}, FeedCheck{Events: 3, Unaccepted: 1, Ended: true}},
		"never_at_the_end":     {&feedReader{seen: stored}, nil, FeedCheck{Events: 3}},
		"a_gap": {
			&feedReader{seen: stored, atEnd: true, gaps: []string{"410"}},
			nil,
			FeedCheck{Events: 3, Gaps: []string{"410"}, Ended: true},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := checkFeed(test.reader, stored, test.accepted)
			require.Equal(t, name != "all_in_order", got.broken())
			got.Reader = ""
			require.Equal(t, test.want, got)
		})
	}
}

func TestCheckWitness(t *testing.T) {
	t.Parallel()
	arrived, canceled, lost := pg.NewID(), pg.NewID(), pg.NewID()
	r := &run{operator: &operator{canceled: map[uuid.UUID]bool{canceled: true}}}
	w := &witness{arrived: map[string]int{arrived.String(): 2}}
	one := func(ids ...uuid.UUID) expected { return expected{Events: 1, Deliveries: ids} }
	require.Equal(t, WitnessCheck{Expected: 2, Canceled: 1}, r.checkWitness(w, []expected{one(arrived), one(canceled)}))
	got := r.checkWitness(
		w,
		[]expected{one(), one(arrived, lost), one(lost), {}, {Events: 2, Deliveries: []uuid.UUID{arrived}}},
	)
	require.Equal(t, WitnessCheck{Expected: 5, Missing: 2, Surplus: 2, NotArrived: 1}, got)
	require.True(t, got.broken())
}

func TestOrderOf(t *testing.T) {
	t.Parallel()
	a := []numbered{{uuid.New(), "a", 1}, {uuid.New(), "a", 2}, {uuid.New(), "b", 1}, {uuid.New(), "a", 3}}
	never := func(uuid.UUID) bool { return false }
	at := func(order ...int) (ids []uuid.UUID) {
		for _, i := range order {
			ids = append(ids, a[i].ID)
		}
		return ids
	}
	require.Equal(t, OrderCheck{Expected: 4}, orderOf(a, at(0, 1, 2, 3), never))
	require.Equal(t, OrderCheck{Expected: 4}, orderOf(a, at(2, 0, 1, 3), never))
	require.Equal(t, OrderCheck{Expected: 4, Inversions: 1}, orderOf(a, at(1, 0, 2, 3), never))
	require.Equal(t, OrderCheck{Expected: 4, NotArrived: 1}, orderOf(a, at(0, 1, 3), never))
	second := func(id uuid.UUID) bool { return id == a[1].ID }
	require.Equal(t, OrderCheck{Expected: 4, Canceled: 1}, orderOf(a, at(0, 3, 1, 2), second))
	require.Equal(t, OrderCheck{Expected: 4, Canceled: 1}, orderOf(a, at(0, 3, 2), second))
}
