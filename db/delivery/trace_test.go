package delivery_test

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
	"go.opentelemetry.io/otel/trace"

	"greenroom/db/catalog"
	"greenroom/db/delivery"
	"greenroom/db/pg"
)

// within returns a context in a trace of the given flags.
func within(t *testing.T, state string, flags trace.TraceFlags) (context.Context, string) {
	t.Helper()
	parsed, err := trace.ParseTraceState(state)
	require.NoError(t, err)
	sc := trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID{1, 2, 3}, SpanID: trace.SpanID{4}, TraceFlags: flags, TraceState: parsed,
	})
	return trace.ContextWithSpanContext(
			t.Context(),
			sc,
		), "00-" + sc.TraceID().
			String() +
			"-" + sc.SpanID().
			String() +
			"-01"
}

func event(b *bundle) *delivery.Event {
	return &delivery.Event{CompanyID: &b.company, Type: catalog.InterviewStarted, Data: []byte(`{}`)}
}

// TestAnEventKeepsItsOrigin: its request always, its trace when that is sampled.
func TestAnEventKeepsItsOrigin(t *testing.T) {
	t.Parallel()
	long := "vendor=" + strings.Repeat(
		"x",
		250,
	) + ",other=" + strings.Repeat(
		"y",
		250,
	) + ",third=" + strings.Repeat(
		"z",
		50,
	)
	for name, tt := range map[string]struct {
		state string
		flags trace.TraceFlags
		want  func(parent string) string
	}{
		"sampled":           {"", trace.FlagsSampled, func(parent string) string { return parent }},
		"with_state":        {"vendor=1,other=2", trace.FlagsSampled, func(parent string) string { return parent + " vendor=1,other=2" }},
		"state_is_too_long": {long, trace.FlagsSampled, func(parent string) string { return parent }},
		"not_sampled":       {"vendor=1", 0, func(string) string { return "" }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			ctx, parent := within(t, tt.state, tt.flags)
			o := &delivery.Origin{RequestID: "request-1"}
			ctx = delivery.WithOrigin(ctx, o)
			e := event(b)
			require.NoError(t, pg.InTx(ctx, b.DB, func(ctx context.Context, tx bun.Tx) error {
				_, err := delivery.RecordEvent(ctx, tx, e)
				return err
			}))
			stored, err := delivery.GetEvent(t.Context(), b.DB, pg.Scope{}, e.ID)
			require.NoError(t, err)
			require.Equal(t, "request-1", stored.RequestID)
			require.Equal(t, tt.want(parent), stored.Trace)
			first, events, deliveries := o.Events()
			require.Equal(t, e.ID, first)
			require.Equal(t, []int{1, 1}, []int{events, deliveries})

			require.NoError(t, pg.InTx(t.Context(), b.DB, func(ctx context.Context, tx bun.Tx) error {
				taken, err := delivery.TakeDeliveries(ctx, tx, delivery.TakeOptions{Limit: 10, PerFlow: 10})
				require.NoError(t, err)
				require.Len(t, taken.Ready, 1)
				require.NoError(t, delivery.ReadTraces(ctx, tx, taken.Ready))
				require.Equal(t, stored.Trace, taken.Ready[0].Trace)
				work, err := delivery.LoadTaken(ctx, tx, taken.Ready)
				require.NoError(t, err)
				require.Equal(t, stored.Trace, work[0].Event.Trace)
				require.Equal(t, "request-1", work[0].Event.RequestID)
				return nil
			}))
			if tt.flags.IsSampled() {
				continued := trace.SpanContextFromContext(delivery.WithTrace(t.Context(), stored.Trace))
				require.Equal(t, trace.SpanContextFromContext(ctx).TraceID(), continued.TraceID())
				require.True(t, continued.IsSampled() && continued.IsRemote())
			}
		})
	}
}

// TestATestKeepsItsOrigin, which another statement stores.
func TestATestKeepsItsOrigin(t *testing.T) {
	t.Parallel()
	b := setup(t)
	traced, parent := within(t, "", trace.FlagsSampled)
	for _, tt := range []struct {
		ctx            context.Context
		request, trace string
	}{
		{delivery.WithOrigin(traced, &delivery.Origin{RequestID: "request-1"}), "request-1", parent},
		{t.Context(), "", ""},
	} {
		e := &delivery.Event{CompanyID: &b.company, Type: catalog.Ping, Data: []byte(`{}`)}
		require.NoError(t, pg.InTx(tt.ctx, b.DB, func(ctx context.Context, tx bun.Tx) error {
			_, err := delivery.RecordTest(ctx, tx, e, b.hook.ID)
			return err
		}))
		stored, err := delivery.GetEvent(t.Context(), b.DB, pg.Scope{}, e.ID)
		require.NoError(t, err)
		require.Equal(t, []string{tt.request, tt.trace}, []string{stored.RequestID, stored.Trace})
	}
}

// TestEventsOfSeveralOriginsInOneStatement: each keeps its own, and those without one have none.
func TestEventsOfSeveralOriginsInOneStatement(t *testing.T) {
	t.Parallel()
	b := setup(t)
	want := []struct{ request, trace string }{{"", ""}, {"r1", ""}, {"", "t2"}, {"r3", "t3"}, {"", ""}}
	var ss []delivery.Submission
	for _, w := range want {
		e := event(b)
		e.RequestID, e.Trace = w.request, w.trace
		ss = append(ss, delivery.Submission{Events: []*delivery.Event{e}})
	}
	require.NoError(t, delivery.InsertEvents(t.Context(), b.DB, ss))
	for i, w := range want {
		stored, err := delivery.GetEvent(t.Context(), b.DB, pg.Scope{}, ss[i].Events[0].ID)
		require.NoError(t, err)
		require.Equal(t, w.request, stored.RequestID)
		require.Equal(t, w.trace, stored.Trace)
	}
	var nulls int
	require.NoError(t, b.NewRaw("SELECT count(*) FROM events WHERE request_id IS NULL AND trace_context IS NULL").
		Scan(t.Context(), &nulls))
	require.Equal(t, 2, nulls, "what is not there takes no room")
}

// TestACommandKeepsItsTrace, also when it could not be sent.
func TestACommandKeepsItsTrace(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx, parent := within(t, "", trace.FlagsSampled)
	require.NoError(t, pg.InTx(ctx, b.DB, func(ctx context.Context, tx bun.Tx) error {
		return delivery.AddCommand(ctx, tx, delivery.CircuitChanged, b.hook.ID, nil)
	}))
	for range 2 {
		require.NoError(t, pg.InTx(t.Context(), b.DB, func(ctx context.Context, tx bun.Tx) error {
			cs, err := delivery.TakeCommands(ctx, tx, 10)
			require.NoError(t, err)
			require.Len(t, cs, 1)
			require.Equal(t, parent, cs[0].Trace)
			return delivery.PutBackCommands(ctx, tx, []delivery.FailedCommand{{Command: cs[0], Unavailable: true}})
		}))
	}
}

func TestWithTraceIgnoresWhatItCannotRead(t *testing.T) {
	t.Parallel()
	for _, stored := range []string{"", "nonsense", "00-00000000000000000000000000000000-0000000000000000-01"} {
		require.False(t, trace.SpanContextFromContext(delivery.WithTrace(t.Context(), stored)).IsValid(), stored)
	}
}

// TestWithoutATraceNothingIsMade on the path of each publication.
func TestWithoutATraceNothingIsMade(t *testing.T) {
	es := []*delivery.Event{{Type: catalog.InterviewStarted}}
	ctx := delivery.WithOrigin(t.Context(), &delivery.Origin{RequestID: "request-1"})
	require.Zero(t, testing.AllocsPerRun(100, func() { delivery.Publish(ctx, es) }))
	require.Equal(t, "request-1", es[0].RequestID)
}
