package service

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.40.0"
	"go.opentelemetry.io/otel/trace"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/opentelemetry"
	"go.temporal.io/sdk/interceptor"

	"greenroom/cmd/internal/config"
)

// tracing sends the spans of one component to the configured collector. nil: there is none, and nothing is traced.
type tracing struct{ provider *sdktrace.TracerProvider }

// traced reports whether a collector is configured, here or by the variables of OpenTelemetry.
func traced(cfg config.Config) bool {
	if cfg.Tracing.Endpoint != "" {
		return true
	}
	if e := os.Getenv("OTEL_TRACES_EXPORTER"); e != "" && e != "otlp" {
		return false
	}
	for _, name := range []string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"} {
		if os.Getenv(name) != "" {
			return !strings.EqualFold(os.Getenv("OTEL_SDK_DISABLED"), "true")
		}
	}
	return false
}

// apiSampler decides for each request. Callers cannot have more traced than the ratio: of their traces, those are
// continued that the ratio selects by their ids.
func apiSampler(cfg config.Config) sdktrace.Sampler {
	ratio := sdktrace.TraceIDRatioBased(cfg.Tracing.SampleRatio)
	return sdktrace.ParentBased(ratio, sdktrace.WithRemoteParentSampled(ratio))
}

// workerSampler continues traces and begins none.
func workerSampler() sdktrace.Sampler { return sdktrace.ParentBased(sdktrace.NeverSample()) }

// startTracing returns nil without a collector. A collector that is away costs its spans and nothing else: they are
// sent in the background, and dropped when too many wait. Headers, certificates and time limits of the exporter are
// read from OpenTelemetry's variables (OTEL_EXPORTER_OTLP_…), as are OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES.
func startTracing(
	ctx context.Context, cfg config.Config, sampler sdktrace.Sampler, logger *slog.Logger,
) (*tracing, error) {
	if !traced(cfg) {
		return nil, nil
	}
	var o []otlptracehttp.Option
	if cfg.Tracing.Endpoint != "" {
		to, err := url.JoinPath(cfg.Tracing.Endpoint, "v1/traces")
		if err != nil {
			return nil, fmt.Errorf("tracing.endpoint: %w", err)
		}
		o = append(o, otlptracehttp.WithEndpointURL(to))
	}
	exporter, err := otlptracehttp.New(ctx, o...)
	if err != nil {
		return nil, fmt.Errorf("make the exporter of traces: %w", err)
	}
	about, err := resource.New(ctx, resource.WithTelemetrySDK(), resource.WithHost(),
		resource.WithAttributes(semconv.ServiceName("greenroom"), semconv.ServiceVersion(cfg.Worker.BuildID)),
		resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("describe this process in traces: %w", err)
	}
	otel.SetErrorHandler(&exportErrors{logger: logger})
	return &tracing{sdktrace.NewTracerProvider(
		sdktrace.WithBatcher(discreet{exporter}), sdktrace.WithResource(about), sdktrace.WithSampler(sampler),
	)}, nil
}

// discreet exports spans without what no log line has: the path of a request, which may have the token of a candidate's
// link, and the caller's address and program.
type discreet struct{ sdktrace.SpanExporter }

// ExportSpans implements [sdktrace.SpanExporter].
func (d discreet) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	for i := range spans {
		spans[i] = discreetSpan{spans[i]}
	}
	return d.SpanExporter.ExportSpans(ctx, spans)
}

type discreetSpan struct{ sdktrace.ReadOnlySpan }

// Attributes implements [sdktrace.ReadOnlySpan].
func (s discreetSpan) Attributes() []attribute.KeyValue {
	return slices.DeleteFunc(slices.Clone(s.ReadOnlySpan.Attributes()), func(a attribute.KeyValue) bool {
		switch a.Key {
		case semconv.URLPathKey, semconv.ClientAddressKey, semconv.NetworkPeerAddressKey, semconv.NetworkPeerPortKey,
			semconv.UserAgentOriginalKey:
			return true
		}
		return false
	})
}

// exportErrors logs once a minute that spans are not sent.
type exportErrors struct {
	logger *slog.Logger
	next   atomic.Int64
}

// Handle implements otel.ErrorHandler.
func (e *exportErrors) Handle(err error) {
	now := time.Now()
	if next := e.next.Load(); now.UnixNano() >= next && e.next.CompareAndSwap(next, now.Add(time.Minute).UnixNano()) {
		e.logger.Warn("traces are not sent", "error", err)
	}
}

// flushLimit bounds the sending of the last spans of a process that stops.
const flushLimit = 5 * time.Second

// end sends the last spans.
func (t *tracing) end() {
	if t == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), flushLimit)
	defer cancel()
	if err := t.provider.Shutdown(ctx); err != nil {
		otel.Handle(err)
	}
}

// tracer returns nil when nothing is traced.
func (t *tracing) tracer() trace.Tracer {
	if t == nil {
		return nil
	}
	return t.provider.Tracer("greenroom")
}

// handler makes a span of each request but probes. The handler within names it after its route.
func (t *tracing) handler(next http.Handler) http.Handler {
	if t == nil {
		return next
	}
	return otelhttp.NewHandler(next, "", otelhttp.WithTracerProvider(t.provider),
		otelhttp.WithMeterProvider(metricnoop.NewMeterProvider()),
		otelhttp.WithPropagators(propagation.TraceContext{}),
		otelhttp.WithFilter(func(r *http.Request) bool {
			return r.URL.Path != "/healthz" && r.URL.Path != "/readyz" && r.URL.Path != "/metrics"
		}))
}

// intercept makes Temporal's client, and the workers that use it, continue traces.
func (t *tracing) intercept(o *client.Options) error {
	if t == nil {
		return nil
	}
	i, err := opentelemetry.NewTracingInterceptor(opentelemetry.TracerOptions{
		Tracer: t.provider.Tracer("go.temporal.io/sdk"), SpanStarter: startWithin,
		TextMapPropagator: propagation.TraceContext{}, DisableBaggage: true,
		AllowInvalidParentSpans: true, // a header of an operator's own must not stop a workflow
	})
	if err != nil {
		return fmt.Errorf("make Temporal's tracing: %w", err)
	}
	o.Interceptors = append(o.Interceptors, interceptor.ClientInterceptor(i))
	return nil
}

// startWithin begins a span in a sampled trace alone: what has no trace writes no header into its history.
//
// A workflow is shown by the span of its start, below which its activities are. A span of the run itself would be sent
// only at its end, days later, and again after each replay in another process. The parent is a context from elsewhere:
// as a span it changes nothing.
func startWithin(ctx context.Context, t trace.Tracer, name string, o ...trace.SpanStartOption) trace.Span {
	parent := trace.SpanFromContext(ctx)
	if !parent.SpanContext().IsSampled() || strings.HasPrefix(name, "RunWorkflow:") ||
		strings.HasPrefix(name, "StartActivity:") {
		return parent
	}
	_, span := t.Start(ctx, name, o...)
	return span
}

// joined is a handler whose lines name the trace that they belong to, when there are traces.
func joined(cfg config.Config, h slog.Handler) slog.Handler {
	if !traced(cfg) {
		return h
	}
	return withTraceIDs{h}
}

// withTraceIDs adds the ids of sampled traces to log lines.
type withTraceIDs struct{ slog.Handler }

// Handle implements slog.Handler.
func (h withTraceIDs) Handle(ctx context.Context, r slog.Record) error {
	if s := trace.SpanContextFromContext(ctx); s.IsSampled() {
		r = r.Clone()
		r.AddAttrs(slog.String("trace_id", s.TraceID().String()), slog.String("span_id", s.SpanID().String()))
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (h withTraceIDs) WithAttrs(attrs []slog.Attr) slog.Handler {
	return withTraceIDs{h.Handler.WithAttrs(attrs)}
}

// WithGroup implements slog.Handler.
func (h withTraceIDs) WithGroup(name string) slog.Handler {
	return withTraceIDs{h.Handler.WithGroup(name)}
}
