package deliver

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"greenroom/db/delivery"
)

func queued(webhooks ...uuid.UUID) (qs []delivery.QueuedDelivery) {
	for _, w := range webhooks {
		qs = append(qs, delivery.QueuedDelivery{DeliveryID: uuid.New(), WebhookID: w})
	}
	return qs
}

func ids(n int) []uuid.UUID {
	all := make([]uuid.UUID, n)
	for i := range all {
		all[i] = uuid.New()
	}
	return all
}

// openStream is a stream that was just renewed.
func openStream(ss *Streams) *Stream {
	s := newStream(&Activities{Streams: ss}, uuid.New(), uuid.New(), "stream:test")
	s.renewed = time.Now()
	ss.add(s)
	return s
}

func TestSplitBetweenStreams(t *testing.T) {
	t.Parallel()
	hooks := ids(FlowsMost + 10)

	t.Run("no_stream", func(t *testing.T) {
		t.Parallel()
		ss := new(Streams)
		parts, rest, wanted := ss.Split(queued(hooks[0], hooks[1]))
		require.Empty(t, parts)
		require.Len(t, rest, 2)
		require.True(t, wanted)
	})
	t.Run("one_stream", func(t *testing.T) {
		t.Parallel()
		ss := new(Streams)
		s := openStream(ss)
		parts, rest, wanted := ss.Split(queued(hooks[0], hooks[1], hooks[0]))
		require.Empty(t, rest)
		require.False(t, wanted)
		require.Len(t, parts, 1, "one batch for the stream")
		require.Len(t, parts[0].Deliveries, 3)
		require.Equal(t, s.id, parts[0].ID())
		require.Equal(t, 1, s.handing, "one batch is handed over")
		require.Equal(t, 1, ss.Opened())
	})
	t.Run("more_flows_than_a_stream_may_have", func(t *testing.T) {
		t.Parallel()
		ss := new(Streams)
		first := openStream(ss)
		parts, rest, wanted := ss.Split(queued(hooks...))
		require.Len(t, parts, 1)
		require.Len(t, parts[0].Deliveries, FlowsMost)
		require.Len(t, rest, 10)
		require.True(t, wanted)
		second := openStream(ss)
		parts, rest, wanted = ss.Split(queued(hooks...))
		require.Empty(t, rest)
		require.False(t, wanted)
		require.Len(t, parts, 2)
		require.Len(t, first.flows, FlowsMost)
		require.Len(t, second.flows, 10)
	})
	t.Run("streams_are_bounded", func(t *testing.T) {
		t.Parallel()
		ss := new(Streams)
		for range streamsMost {
			for _, f := range ids(FlowsMost) {
				openStream(ss).addFlow(delivery.Flow{Webhook: f})
			}
		}
		ss.open = ss.open[:streamsMost]
		for _, s := range ss.open {
			for range FlowsMost {
				s.addFlow(delivery.Flow{Webhook: uuid.New()})
			}
		}
		_, rest, wanted := ss.Split(queued(hooks[0]))
		require.Len(t, rest, 1)
		require.False(t, wanted)
	})
	t.Run("a_stream_of_its_age_is_replaced", func(t *testing.T) {
		t.Parallel()
		for name, mod := range map[string]func(s *Stream){
			"time":       func(s *Stream) { s.began = time.Now().Add(-streamAge - time.Millisecond) },
			"deliveries": func(s *Stream) { s.given = streamDeliveries },
		} {
			ss := new(Streams)
			old := openStream(ss)
			old.addFlow(delivery.Flow{Webhook: hooks[0]})
			mod(old)
			parts, rest, wanted := ss.Split(queued(hooks[0], hooks[1]))
			require.True(t, wanted, name)
			require.Len(t, parts, 1, name)
			require.Same(t, old, parts[0].Stream, "it keeps its flows until then")
			require.Len(t, rest, 1, "and gets no new ones")
			fresh := openStream(ss)
			parts, _, wanted = ss.Split(queued(hooks[0], hooks[1]))
			require.False(t, wanted, name)
			require.Len(t, parts, 1, name)
			require.Same(t, fresh, parts[0].Stream)
		}
	})
	t.Run("a_stream_that_may_be_taken_over_gets_nothing", func(t *testing.T) {
		t.Parallel()
		ss := new(Streams)
		s := openStream(ss)
		s.addFlow(delivery.Flow{Webhook: hooks[0]})
		s.renewed = time.Now().Add(-delivery.StreamRenewWithin)
		parts, rest, wanted := ss.Split(queued(hooks[0]))
		require.Empty(t, parts)
		require.Len(t, rest, 1)
		require.True(t, wanted)
	})
}

func TestStreamsRetire(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for name, tt := range map[string]struct {
		mod  func(s *Stream)
		want bool
	}{
		"used":                    {func(s *Stream) { s.used = now.Add(-idleAfter + time.Millisecond) }, false},
		"idle":                    {func(s *Stream) { s.used = now.Add(-idleAfter) }, true},
		"idle_but_handed_a_batch": {func(s *Stream) { s.used, s.handing = now.Add(-time.Hour), 1 }, false},
		"idle_but_attempting": {
			func(s *Stream) { s.used, s.open[uuid.New()] = now.Add(-time.Hour), true }, false,
		},
		"of_age_and_used": {func(s *Stream) { s.given, s.used = streamDeliveries, now }, false},
		"replaced":        {func(s *Stream) { s.given, s.used = streamDeliveries, now.Add(-replacedAfter) }, true},
		"replaced_and_attempting": {
			func(s *Stream) { s.given, s.used, s.open[uuid.New()] = streamDeliveries, now.Add(-replacedAfter), true }, true,
		},
		"replaced_but_handed_a_batch": {
			func(s *Stream) { s.given, s.used, s.handing = streamDeliveries, now.Add(-time.Hour), 1 }, false,
		},
	} {
		ss := new(Streams)
		s := openStream(ss)
		tt.mod(s)
		require.Equal(t, tt.want, ss.retire(s, now), name)
		require.Equal(t, tt.want, len(ss.open) == 0, name)
	}
}

func TestStreamResultAdds(t *testing.T) {
	t.Parallel()
	var sum BatchResult
	failed := ids(60)
	for range 2 {
		sum.add(&BatchResult{
			Succeeded: 3, Failed: 60, Left: 1, ByWebhook: map[string]BatchCounts{"a": {3, 59, 0}, "b": {0, 1, 1}},
			FailedDeliveries: failed,
		})
	}
	require.Equal(t, map[string]BatchCounts{"a": {6, 118, 0}, "b": {0, 2, 2}}, sum.ByWebhook)
	require.Equal(t, []int{6, 120, 2}, []int{sum.Succeeded, sum.Failed, sum.Left})
	require.Len(t, sum.FailedDeliveries, failedListed)
	c := sum.clone()
	c.add(&BatchResult{Succeeded: 1, ByWebhook: map[string]BatchCounts{"a": {1, 0, 0}}})
	require.Equal(t, 6, sum.Succeeded)
	require.Equal(t, BatchCounts{6, 118, 0}, sum.ByWebhook["a"], "a copy shares nothing")
}
