package service

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.temporal.io/sdk/client"
)

// sdkMetrics are the metrics of Temporal's SDK in this process, under its own names with the endings that Prometheus
// wants.
var sdkMetrics = &sdkCollector{series: map[string]prometheus.Metric{}}

// sdkCollector makes a series the first time that the SDK names it: the SDK does not say beforehand which it has, and
// gives one metric different tags at different places.
type sdkCollector struct {
	mu     sync.RWMutex
	series map[string]prometheus.Metric
}

// Describe implements prometheus.Collector. It describes nothing: what the SDK has shows as it is used.
func (c *sdkCollector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c *sdkCollector) Collect(ch chan<- prometheus.Metric) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	for _, m := range c.series {
		ch <- m
	}
}

// find returns the series of that name and tags; a name is always of one kind, since each kind has an ending of its
// own.
func find[M prometheus.Metric](h sdkHandler, name string, newMetric func(prometheus.Opts) M) M {
	c, key := h.collector, name+h.key
	c.mu.RLock()
	m, found := c.series[key]
	c.mu.RUnlock()
	if !found {
		c.mu.Lock()
		defer c.mu.Unlock()
		if m, found = c.series[key]; !found {
			m = newMetric(prometheus.Opts{Name: name, Help: "Of Temporal's SDK.", ConstLabels: h.tags})
			c.series[key] = m
		}
	}
	return m.(M)
}

// sdkHandler is a client.MetricsHandler.
type sdkHandler struct {
	collector *sdkCollector
	tags      map[string]string
	key       string // the tags as text, to find a series by
}

// WithTags implements client.MetricsHandler.
func (h sdkHandler) WithTags(tags map[string]string) client.MetricsHandler {
	all := make(map[string]string, len(h.tags)+len(tags))
	maps.Copy(all, h.tags)
	maps.Copy(all, tags)
	var key strings.Builder
	for _, k := range slices.Sorted(maps.Keys(all)) {
		key.WriteString("," + k + "=" + all[k])
	}
	return sdkHandler{h.collector, all, key.String()}
}

// Counter implements client.MetricsHandler.
func (h sdkHandler) Counter(name string) client.MetricsCounter {
	return sdkCounter{
		find(
			h,
			name+"_total",
			func(o prometheus.Opts) prometheus.Counter { return prometheus.NewCounter(prometheus.CounterOpts(o)) },
		),
	}
}

// Gauge implements client.MetricsHandler.
func (h sdkHandler) Gauge(name string) client.MetricsGauge {
	return sdkGauge{
		find(h, name, func(o prometheus.Opts) prometheus.Gauge { return prometheus.NewGauge(prometheus.GaugeOpts(o)) }),
	}
}

// Timer implements client.MetricsHandler. The buckets reach from a round trip to a long poll, in seconds.
func (h sdkHandler) Timer(name string) client.MetricsTimer {
	return sdkTimer{find(h, name+"_seconds", func(o prometheus.Opts) prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: o.Name, Help: o.Help, ConstLabels: o.ConstLabels, Buckets: []float64{.001, .005, .02, .1, .5, 2, 10, 60},
		})
	})}
}

type (
	sdkCounter struct{ prometheus.Counter }
	sdkGauge   struct{ prometheus.Gauge }
	sdkTimer   struct{ prometheus.Histogram }
)

// Inc implements client.MetricsCounter.
func (c sdkCounter) Inc(n int64) { c.Add(float64(n)) }

// Update implements client.MetricsGauge.
func (g sdkGauge) Update(v float64) { g.Set(v) }

// Record implements client.MetricsTimer.
func (t sdkTimer) Record(d time.Duration) { t.Observe(d.Seconds()) }
