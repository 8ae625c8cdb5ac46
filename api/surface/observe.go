package surface

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"slices"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.40.0"
	"go.opentelemetry.io/otel/trace"

	"greenroom/db/delivery"
	"greenroom/db/pg"
)

const (
	requestIDHeader = "X-Request-Id"
	requestIDKey    = "request_id"
	maxRequestID    = 128
)

type metrics struct {
	duration *prometheus.HistogramVec
}

func newMetrics(r *prometheus.Registry) (*metrics, error) {
	m := &metrics{duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "greenroom_http_request_duration_seconds", Help: "Time to answer a request of the API.",
		Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
	}, []string{"method", "route", "status"})}
	return m, r.Register(m.duration)
}

// observe assigns the request id, which the events of the request keep, and writes one log line and one measurement per
// request.
func (s *Core) observe(c *gin.Context) {
	if in, is := insiderOf(c.Request.Context()); is {
		c.Set(requestIDKey, in.requestID)
		c.Next()
		return
	}
	start := time.Now()
	id := c.GetHeader(requestIDHeader)
	if !plainID(id) {
		id = pg.NewID().String()
	}
	c.Set(requestIDKey, id)
	c.Header(requestIDHeader, id)
	origin := &delivery.Origin{RequestID: id}
	c.Request = c.Request.WithContext(delivery.WithOrigin(c.Request.Context(), origin))
	c.Next()
	took := time.Since(start)
	route := c.FullPath()
	if route == "" {
		route = "unknown"
	}
	status := c.Writer.Status()
	s.metrics.duration.WithLabelValues(method(c.Request.Method), route, strconv.Itoa(status)).Observe(took.Seconds())
	attrs := append(whose(c),
		slog.String("request_id", id), slog.String("method", c.Request.Method), slog.String("route", route),
		slog.Int("status", status), slog.Float64("duration_ms", float64(took.Microseconds())/1000))
	if status < http.StatusBadRequest { // otherwise its transaction was rolled back
		attrs = append(attrs, caused(origin)...)
	}
	s.Logger.LogAttrs(c.Request.Context(), requestLevel(route, status), "request", attrs...)
	nameSpan(c, id, route)
}

// caused names the first event that a request caused, and counts the others and the deliveries.
func caused(o *delivery.Origin) []slog.Attr {
	first, events, deliveries := o.Events()
	if events == 0 {
		return nil
	}
	return []slog.Attr{
		slog.String("event_id", first.String()), slog.Int("events", events), slog.Int("deliveries", deliveries),
	}
}

// nameSpan names the span of a traced request after its route.
func nameSpan(c *gin.Context, id, route string) {
	span := trace.SpanFromContext(c.Request.Context())
	if !span.IsRecording() {
		return
	}
	span.SetName(method(c.Request.Method) + " " + route)
	span.SetAttributes(semconv.HTTPRoute(route), attribute.String("greenroom.request.id", id))
	if p, found := callerOf(c); found && p.Key.CompanyID != nil {
		span.SetAttributes(attribute.String("greenroom.company.id", p.Key.CompanyID.String()))
	}
}

// probes are the routes that machines call every few seconds.
var probes = []string{"/healthz", "/readyz", "/metrics"}

// requestLevel keeps probes that succeed out of the log.
func requestLevel(route string, status int) slog.Level {
	if slices.Contains(probes, route) && status < http.StatusBadRequest {
		return slog.LevelDebug
	}
	return slog.LevelInfo
}

// method maps unknown methods to one label value, because each value makes a time series.
func method(m string) string {
	switch m {
	case http.MethodGet,
		http.MethodPost,
		http.MethodPatch,
		http.MethodDelete,
		http.MethodPut,
		http.MethodHead,
		http.MethodOptions:
		return m
	}
	return "other"
}

func whose(c *gin.Context) []slog.Attr {
	p, found := callerOf(c)
	if !found {
		return nil
	}
	attrs := []slog.Attr{slog.String("api_key_id", p.Key.ID.String())}
	if p.Key.CompanyID != nil {
		attrs = append(attrs, slog.String("company_id", p.Key.CompanyID.String()))
	}
	return attrs
}

// RequestID returns the id of the request in the log; the answer has it as X-Request-Id.
func RequestID(c *gin.Context) string { return c.GetString(requestIDKey) }

// plainID accepts a caller's own request id if it is safe in a log and a header.
func plainID(id string) bool {
	if id == "" || len(id) > maxRequestID {
		return false
	}
	for _, r := range id {
		alnum := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
		if !alnum && r != '-' && r != '_' && r != '.' && r != ':' {
			return false
		}
	}
	return true
}

// recoverPanic answers a panic as an internal error.
func (s *Core) recoverPanic(c *gin.Context) {
	defer func() {
		r := recover()
		if r == nil {
			return
		}
		if err, is := r.(error); is && errors.Is(err, http.ErrAbortHandler) {
			panic(r) // net/http's way to drop a connection
		}
		s.fail(c, fmt.Errorf("panic: %v\n%s", r, debug.Stack()))
		c.Abort()
	}()
	c.Next()
}
