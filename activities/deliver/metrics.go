package deliver

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"greenroom/db/delivery"
	"greenroom/db/pg"
)

// Metrics of the attempts made by this process; register them with Collectors.
var (
	attemptsTotal = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "greenroom_attempts_total", Help: "Attempts made, by profile and outcome.",
	}, []string{"profile", "outcome"})
	attemptSeconds = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "greenroom_attempt_duration_seconds", Help: "How long receivers took to answer, by profile.",
		Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
	}, []string{"profile"})
	deliverySeconds = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "greenroom_delivery_duration_seconds",
		Help:    "From an event's acceptance to its receiver's 2xx, retries and pauses included, replays not, by profile.",
		Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10, 60, 300, 3600, 86400},
	}, []string{"profile"})
	recordRetriesTotal = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "greenroom_attempt_record_retries_total",
		Help: "Times that attempts could not be recorded because the database was unavailable, and were tried again.",
	})
	unpreparedTotal = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "greenroom_deliveries_unprepared_total",
		Help: "Deliveries that failed without an attempt: their secret, profile or body could not be used.",
	})
)

// Collectors are this package's metrics.
func Collectors() []prometheus.Collector {
	return []prometheus.Collector{attemptsTotal, attemptSeconds, deliverySeconds, unpreparedTotal, recordRetriesTotal}
}

func observe(profile string, row *delivery.Attempt) {
	attemptsTotal.WithLabelValues(profile, string(row.Outcome)).Inc()
	attemptSeconds.WithLabelValues(profile).Observe(float64(row.DurationMS) / 1000)
	if row.Outcome == delivery.OutcomeSucceeded && row.Generation == 0 {
		ended := row.StartedAt.Add(time.Duration(row.DurationMS) * time.Millisecond)
		deliverySeconds.WithLabelValues(profile).Observe(max(0, ended.Sub(pg.TimeOf(row.DeliveryID)).Seconds()))
	}
}
