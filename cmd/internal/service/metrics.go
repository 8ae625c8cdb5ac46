package service

import (
	"context"
	"math"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/uptrace/bun"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/grpc"

	"greenroom/activities/deliver"
	"greenroom/db/delivery"
	"greenroom/workflows/dispatch"
)

// queueShown is the maximum of the queue gauges, so that a scrape never scans a long backlog.
const queueShown = 10_000

// metrics returns a registry with all metrics of a process: the runtime, the attempts, Temporal's SDK and the length of
// the queues. Counters exist once per process and are registered only here, so
// that `greenroom dev` shows a worker's metrics at its API.
func metrics(d *bun.DB) *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	r.MustRegister(deliver.Collectors()...)
	r.MustRegister(dispatch.Collectors()...)
	r.MustRegister(&queueCollector{db: d}, workflowStarts, sdkMetrics)
	return r
}

// workflowStarts shows whether eager start works: a server or worker that cannot start a workflow eagerly falls back
// silently and needs two more round trips.
var workflowStarts = prometheus.NewCounterVec(prometheus.CounterOpts{
	Name: "greenroom_workflow_starts_total",
	Help: "Workflows that this process started, by whether its worker got the first task with the answer.",
}, []string{"eager"})

func countStarts(
	ctx context.Context,
	method string,
	req, reply any,
	cc *grpc.ClientConn,
	invoke grpc.UnaryInvoker,
	opts ...grpc.CallOption,
) error {
	err := invoke(ctx, method, req, reply, cc, opts...)
	if r, is := reply.(*workflowservice.StartWorkflowExecutionResponse); is && err == nil && r.GetStarted() {
		workflowStarts.WithLabelValues(strconv.FormatBool(r.GetEagerWorkflowTask() != nil)).Inc()
	}
	return err // unwrapped: the SDK checks the type
}

var (
	queueDesc = prometheus.NewDesc(
		"greenroom_queue_deliveries",
		"Deliveries that wait for a dispatcher, at most 10000.",
		nil,
		nil,
	)
	commandDesc = prometheus.NewDesc(
		"greenroom_queue_commands",
		"Commands that wait for a dispatcher, at most 10000.",
		nil,
		nil,
	)
	openDesc = prometheus.NewDesc("greenroom_open_circuits", "Webhooks whose circuit is open, at most 10000.", nil, nil)
	waitDesc = prometheus.NewDesc(
		"greenroom_queue_oldest_seconds",
		"How long a delivery has waited for its first attempt, in the queue or as the next one of its subject; "+
			"of a long queue a lower bound.",
		nil,
		nil,
	)
	oldestDesc = prometheus.NewDesc(
		"greenroom_oldest_day_age_days",
		"Days since the oldest day that is kept of deliveries, attempts and events.",
		nil,
		nil,
	)
	upDesc = prometheus.NewDesc(
		"greenroom_database_up",
		"1 when the database answers this process, otherwise 0.",
		nil,
		nil,
	)
	parkedDesc = prometheus.NewDesc(
		"greenroom_parked_commands",
		"Commands that were refused too often and are not tried again, at most 10000.",
		nil,
		nil,
	)
)

type queueCollector struct{ db *bun.DB }

// Describe implements prometheus.Collector.
func (c *queueCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- queueDesc
	ch <- commandDesc
	ch <- waitDesc
	ch <- parkedDesc
	ch <- openDesc
	ch <- oldestDesc
	ch <- upDesc
}

// Collect implements prometheus.Collector. When the database is unavailable, it reports that and omits the other
// gauges.
func (c *queueCollector) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	up := 1.0
	if err := c.collect(ctx, ch); err != nil {
		up = 0
	}
	ch <- prometheus.MustNewConstMetric(upDesc, prometheus.GaugeValue, up)
}

func (c *queueCollector) collect(ctx context.Context, ch chan<- prometheus.Metric) error {
	queue, err := delivery.QueueLength(ctx, c.db, queueShown)
	if err != nil {
		return err
	}
	parked, err := delivery.ParkedCommands(ctx, c.db, queueShown)
	if err != nil {
		return err
	}
	open, err := delivery.OpenCircuits(ctx, c.db, queueShown)
	if err != nil {
		return err
	}
	oldest, err := delivery.OldestDay(ctx, c.db)
	if err != nil {
		return err
	}
	if !oldest.IsZero() {
		days := math.Floor(time.Since(oldest).Hours() / 24)
		ch <- prometheus.MustNewConstMetric(oldestDesc, prometheus.GaugeValue, max(days, 0))
	}
	ch <- prometheus.MustNewConstMetric(openDesc, prometheus.GaugeValue, float64(open))
	ch <- prometheus.MustNewConstMetric(parkedDesc, prometheus.GaugeValue, float64(parked))
	waited := 0.0
	if !queue.Oldest.IsZero() {
		waited = max(0, time.Since(queue.Oldest).Seconds())
	}
	ch <- prometheus.MustNewConstMetric(waitDesc, prometheus.GaugeValue, waited)
	ch <- prometheus.MustNewConstMetric(queueDesc, prometheus.GaugeValue, float64(queue.Deliveries))
	ch <- prometheus.MustNewConstMetric(commandDesc, prometheus.GaugeValue, float64(queue.Commands))
	return nil
}
