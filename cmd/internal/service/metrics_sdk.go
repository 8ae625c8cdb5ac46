package service

import (
	"github.com/prometheus/client_golang/prometheus"
	otelprom "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/opentelemetry"
)

// sdkMetrics collects the metrics of Temporal's SDK in this process; sdkHandler records them. The exporter appends the
// endings that Prometheus wants: temporal_request_total, temporal_request_latency_seconds.
var sdkMetrics, sdkHandler = newSDKMetrics()

func newSDKMetrics() (*prometheus.Registry, client.MetricsHandler) {
	r := prometheus.NewRegistry()
	exporter, err := otelprom.New(
		otelprom.WithRegisterer(r), otelprom.WithoutScopeInfo(), otelprom.WithoutTargetInfo(),
	)
	if err != nil {
		panic(err) // only if the registry refuses the collector, and this registry is new
	}
	provider := metric.NewMeterProvider(metric.WithReader(exporter), metric.WithView(metric.NewView(
		metric.Instrument{Kind: metric.InstrumentKindHistogram},
		metric.Stream{Aggregation: metric.AggregationExplicitBucketHistogram{Boundaries: sdkBuckets, NoMinMax: true}},
	)))
	return r, opentelemetry.NewMetricsHandler(opentelemetry.MetricsHandlerOptions{
		Meter: provider.Meter("temporal-sdk-go"), UseMonotonicCounters: true,
	})
}

// sdkBuckets range from a round trip to a long poll, in seconds.
var sdkBuckets = []float64{.001, .005, .02, .1, .5, 2, 10, 60}
