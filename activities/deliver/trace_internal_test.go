package deliver

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/trace/noop"

	"greenroom/activities/webhook"
	"greenroom/db/delivery"
)

// TestAnAttemptWithoutATraceMakesNothing: neither a worker without a collector nor an event that is not traced costs
// the path of each delivery an allocation.
func TestAnAttemptWithoutATraceMakesNothing(t *testing.T) {
	const stored = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	for name, tt := range map[string]struct {
		tracing Tracing
		trace   string
	}{
		"no_collector":     {Tracing{Propagate: true}, stored},
		"event_not_traced": {Tracing{Tracer: noop.NewTracerProvider().Tracer(""), Propagate: true}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			a := &attempt{
				Activities: &Activities{Tracing: tt.tracing},
				job:        &delivery.Work{Event: delivery.Event{Trace: tt.trace}},
			}
			req, p := &webhook.Request{}, &webhook.Profile{Success: webhook.Success2xx}
			ctx := t.Context()
			require.Zero(t, testing.AllocsPerRun(100, func() {
				_, span := a.startSpan(ctx, req)
				a.endSpan(span, p, webhook.Response{StatusCode: 200})
				_ = a.withSpan(ctx)
			}))
			require.Nil(t, req.Trace)
		})
	}
}
