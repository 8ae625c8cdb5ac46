package service

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/trace"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/worker"

	"greenroom/cmd/internal/config"
	"greenroom/workflows"
)

func TestTraced(t *testing.T) {
	for name, tt := range map[string]struct {
		endpoint string
		env      map[string]string
		want     bool
	}{
		"off":                     {},
		"endpoint":                {endpoint: "http://collector:4318", want: true},
		"variable":                {env: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, want: true},
		"variable_for_traces":     {env: map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4318"}, want: true},
		"disabled":                {env: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_SDK_DISABLED": "TRUE"}},
		"no_exporter":             {env: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_TRACES_EXPORTER": "none"}},
		"setting_before_variable": {endpoint: "http://collector:4318", env: map[string]string{"OTEL_SDK_DISABLED": "true"}, want: true},
	} {
		t.Run(name, func(t *testing.T) {
			for _, v := range []string{
				"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_SDK_DISABLED", "OTEL_TRACES_EXPORTER",
			} {
				t.Setenv(v, tt.env[v])
			}
			assert.Equal(t, tt.want, traced(config.Config{Tracing: config.Tracing{Endpoint: tt.endpoint}}))
		})
	}
}

// TestUntracedHistoriesReplayWithTracing proves that workflows which began before tracing was turned on continue.
func TestUntracedHistoriesReplayWithTracing(t *testing.T) {
	cfg := config.Config{Tracing: config.Tracing{Endpoint: "http://127.0.0.1:1"}}
	traces, err := startTracing(t.Context(), cfg, workerSampler(), Logger(cfg, &bytes.Buffer{}))
	require.NoError(t, err)
	t.Cleanup(func() { _ = traces.provider.Shutdown(context.Background()) })
	var o client.Options
	require.NoError(t, traces.intercept(&o))
	files, err := filepath.Glob("../../../workflows/testdata/*/*.json")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		r, err := worker.NewWorkflowReplayerWithOptions(worker.WorkflowReplayerOptions{
			Interceptors: []interceptor.WorkerInterceptor{o.Interceptors[0].(interceptor.WorkerInterceptor)},
		})
		require.NoError(t, err)
		workflows.Register(r)
		require.NoError(t, r.ReplayWorkflowHistoryFromJSONFile(nil, file), file)
	}
}

// TestATracedRequestKeepsItsDeadlines: uploads and downloads move those of their connection. A collector that does not
// answer holds up neither the request nor, for long, the end of the process.
func TestATracedRequestKeepsItsDeadlines(t *testing.T) {
	stuck := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // the server then notices the end of the connection
		<-r.Context().Done()
	}))
	t.Cleanup(stuck.Close)
	log := &bytes.Buffer{}
	cfg := config.Config{Tracing: config.Tracing{Endpoint: stuck.URL, SampleRatio: 1}}
	traces, err := startTracing(t.Context(), cfg, apiSampler(cfg), Logger(cfg, log))
	require.NoError(t, err)
	var sampled bool
	srv := httptest.NewServer(traces.handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sampled = trace.SpanContextFromContext(r.Context()).IsSampled()
		c := http.NewResponseController(w)
		assert.NoError(t, c.SetReadDeadline(time.Now().Add(time.Minute)))
		assert.NoError(t, c.SetWriteDeadline(time.Now().Add(time.Minute)))
		assert.NoError(t, c.Flush())
	})))
	t.Cleanup(srv.Close)
	for path, want := range map[string]bool{"/events": true, "/healthz": false, "/readyz": false, "/metrics": false} {
		resp, err := http.Get(srv.URL + path)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, want, sampled, path)
	}
	traces.end()
	require.Contains(t, log.String(), "traces are not sent")
}
