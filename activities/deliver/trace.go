package deliver

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"strconv"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.40.0"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"greenroom/activities/webhook"
	"greenroom/db/delivery"
)

// Tracing makes a span of each attempt of a traced event. The zero value makes none.
type Tracing struct {
	Tracer trace.Tracer
	// Propagate: the receiver gets the span's context, as traceparent and tracestate.
	Propagate bool
}

// startSpan begins the span of an attempt, when its event is traced. It is a part of the event's trace: below the
// activity's span when that is in the same trace, as in a workflow of the delivery's own, and else below the span that
// stored the event. The span does not have the URL's path and query, which may be secret.
func (t *attempt) startSpan(ctx context.Context, req *webhook.Request) (context.Context, trace.Span) {
	e, d, w := &t.job.Event, &t.job.Delivery, &t.job.Webhook
	if t.Tracing.Tracer == nil || e.Trace == "" {
		return ctx, noop.Span{}
	}
	activity := trace.SpanContextFromContext(ctx)
	ctx = delivery.WithTrace(ctx, e.Trace)
	if event := trace.SpanContextFromContext(ctx); activity.IsValid() && activity.TraceID() == event.TraceID() {
		ctx = trace.ContextWithSpanContext(ctx, activity)
	}
	attrs := append(targetOf(w.URL), semconv.HTTPRequestMethodPost,
		attribute.String("greenroom.webhook.id", w.ID.String()), attribute.String("greenroom.event.id", e.ID.String()),
		attribute.String("greenroom.delivery.id", d.ID.String()), attribute.String("greenroom.event.type", e.Type),
		attribute.Int("greenroom.attempt", t.in.Attempt), attribute.Int("greenroom.generation", t.in.Generation),
		attribute.String("greenroom.profile", w.Profile),
	)
	if t.in.Attempt > 1 {
		attrs = append(attrs, semconv.HTTPRequestResendCount(t.in.Attempt-1))
	}
	ctx, span := t.Tracing.Tracer.Start(ctx, http.MethodPost, trace.WithSpanKind(trace.SpanKindClient),
		trace.WithAttributes(attrs...))
	t.span = span.SpanContext()
	if t.Tracing.Propagate && t.span.IsSampled() {
		req.Trace = http.Header{}
		propagation.TraceContext{}.Inject(ctx, propagation.HeaderCarrier(req.Trace))
	}
	return ctx, span
}

func targetOf(endpoint string) []attribute.KeyValue {
	u, err := url.Parse(endpoint)
	if err != nil {
		return nil
	}
	host, port, err := net.SplitHostPort(webhook.HostPort(endpoint))
	if err != nil {
		return nil
	}
	n, _ := strconv.Atoi(port) // HostPort's is a number
	return []attribute.KeyValue{semconv.URLScheme(u.Scheme), semconv.ServerAddress(host), semconv.ServerPort(n)}
}

// endSpan ends the span of an attempt with the receiver's answer.
func (t *attempt) endSpan(span trace.Span, p *webhook.Profile, r webhook.Response) {
	if !span.IsRecording() {
		return
	}
	outcome := t.outcome(p, r)
	span.SetAttributes(attribute.String("greenroom.outcome", string(outcome)))
	if r.StatusCode != 0 {
		span.SetAttributes(semconv.HTTPResponseStatusCode(r.StatusCode))
	}
	if outcome != delivery.OutcomeSucceeded {
		kind := string(r.ErrorKind)
		if kind == "" {
			kind = strconv.Itoa(r.StatusCode)
		}
		span.SetAttributes(semconv.ErrorTypeKey.String(kind))
		span.SetStatus(codes.Error, r.Error)
	}
	span.End()
}

// withSpan returns ctx with the attempt's span, for its log lines.
func (t *attempt) withSpan(ctx context.Context) context.Context {
	if !t.span.IsValid() {
		return ctx
	}
	return trace.ContextWithSpanContext(ctx, t.span)
}
