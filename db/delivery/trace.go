package delivery

import (
	"context"
	"fmt"
	"strings"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.40.0"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"greenroom/db/pg"
)

// A sampled trace is stored with the events and commands that it causes, as a W3C traceparent with its tracestate after
// a space: what is done about them later, in any process, continues it. Nothing is stored of other traces.

// maxTrace bounds a stored trace; a longer tracestate is left out. 512 is what the standard asks to keep of one.
const maxTrace = len("00-0123456789abcdef0123456789abcdef-0123456789abcdef-01 ") + 512

// The names of the W3C headers.
const (
	traceParent = "traceparent"
	traceState  = "tracestate"
)

// traceOf returns the trace of ctx as it is stored; "" unless it is sampled.
func traceOf(ctx context.Context) string {
	if !trace.SpanContextFromContext(ctx).IsSampled() {
		return ""
	}
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	if state := carrier[traceState]; state != "" && len(carrier[traceParent])+1+len(state) <= maxTrace {
		return carrier[traceParent] + " " + state
	}
	return carrier[traceParent]
}

// WithTrace returns ctx as a part of a stored trace. Without one, or with one that cannot be read, it returns ctx.
func WithTrace(ctx context.Context, stored string) context.Context {
	if stored == "" {
		return ctx
	}
	parent, state, _ := strings.Cut(stored, " ")
	return propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{traceParent: parent, traceState: state})
}

// startPublish begins the span of storing events, in whose trace they are delivered. Outside a sampled trace it begins
// none.
func startPublish(ctx context.Context, es []*Event) (context.Context, trace.Span) {
	parent := trace.SpanFromContext(ctx)
	if !parent.SpanContext().IsSampled() || len(es) == 0 {
		return ctx, noop.Span{}
	}
	attrs := []attribute.KeyValue{
		semconv.MessagingSystemKey.String("greenroom"), semconv.MessagingOperationTypeSend,
		semconv.MessagingOperationName("publish"), semconv.MessagingDestinationName(es[0].Type),
	}
	if len(es) > 1 {
		attrs = append(attrs, semconv.MessagingBatchMessageCount(len(es)))
	}
	return parent.TracerProvider().Tracer("greenroom/db/delivery").Start(ctx, "publish "+es[0].Type,
		trace.WithSpanKind(trace.SpanKindProducer), trace.WithAttributes(attrs...))
}

// endPublish ends the span of storing events.
func endPublish(span trace.Span, es []*Event, err error) {
	if !span.IsRecording() {
		return
	}
	if err != nil {
		span.SetStatus(codes.Error, fmt.Sprintf("%T", err)) // its text may have data of the event
	} else if len(es) == 1 {
		span.SetAttributes(semconv.MessagingMessageID(es[0].ID.String()))
	}
	span.End()
}

// ReadTraces sets the Trace of deliveries that were taken from the queue.
func ReadTraces(ctx context.Context, db bun.IDB, qs []QueuedDelivery) error {
	if len(qs) == 0 {
		return nil
	}
	ids := make([]uuid.UUID, len(qs))
	for i := range qs {
		ids[i] = qs[i].eventID
	}
	rows, err := pg.Direct(db).QueryContext(ctx,
		"SELECT id, trace_context FROM events WHERE id = ANY ($1) AND trace_context IS NOT NULL", pgIDs(ids))
	if err != nil {
		return fmt.Errorf("read traces: %w", err)
	}
	defer func() { _ = rows.Close() }() // rows.Err reports its error
	traces := map[uuid.UUID]string{}
	for rows.Next() {
		var id uuid.UUID
		var stored string
		if err := rows.Scan(&id, &stored); err != nil {
			return fmt.Errorf("read traces: %w", err)
		}
		traces[id] = stored
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read traces: %w", err)
	}
	for i := range qs {
		qs[i].Trace = traces[qs[i].eventID]
	}
	return nil
}
