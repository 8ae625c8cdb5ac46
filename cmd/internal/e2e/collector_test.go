package e2e_test

import (
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	collectorpb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"greenroom/cmd/internal/config"
)

// collector receives traces as an OpenTelemetry collector does: OTLP in Protobuf over HTTP.
type collector struct {
	*httptest.Server
	mu    sync.Mutex
	spans []span
}

// span is a received span.
type span struct {
	Name, Trace, ID, Parent string
	Kind                    tracepb.Span_SpanKind
	Attributes              map[string]any
	Failed                  string // the status message of an error
}

// collect starts a collector. with configures API and worker to use it.
func collect(t *testing.T) (c *collector, with func(*config.Config)) {
	t.Helper()
	c = &collector{}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		raw, err := io.ReadAll(r.Body)
		var export collectorpb.ExportTraceServiceRequest
		if err != nil || r.URL.Path != "/base/v1/traces" || proto.Unmarshal(raw, &export) != nil {
			t.Errorf("not an export of traces: %s %s", r.Method, r.URL)
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		c.add(&export)
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	t.Cleanup(c.Close)
	return c, func(cfg *config.Config) { cfg.Tracing.Endpoint, cfg.Tracing.SampleRatio = c.URL+"/base", 1 }
}

func (c *collector) add(export *collectorpb.ExportTraceServiceRequest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, resource := range export.ResourceSpans {
		for _, scope := range resource.ScopeSpans {
			for _, s := range scope.Spans {
				got := span{
					Name: s.Name, Trace: hex.EncodeToString(s.TraceId), ID: hex.EncodeToString(s.SpanId),
					Parent: hex.EncodeToString(s.ParentSpanId), Kind: s.Kind, Attributes: map[string]any{},
				}
				for _, a := range s.Attributes {
					switch v := a.Value.Value.(type) {
					case *commonpb.AnyValue_StringValue:
						got.Attributes[a.Key] = v.StringValue
					case *commonpb.AnyValue_IntValue:
						got.Attributes[a.Key] = v.IntValue
					}
				}
				if s.Status.GetCode() == tracepb.Status_STATUS_CODE_ERROR {
					got.Failed = s.Status.GetMessage()
				}
				c.spans = append(c.spans, got)
			}
		}
	}
}

// trace returns the spans of a trace, or of all for "".
func (c *collector) trace(id string) (spans tree) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.spans {
		if id == "" || s.Trace == id {
			spans = append(spans, s)
		}
	}
	return spans
}

// tree is the spans of a trace.
type tree []span

// named returns the spans with a name.
func (spans tree) named(name string) tree {
	return slices.DeleteFunc(slices.Clone(spans), func(s span) bool { return s.Name != name })
}

// below returns the spans whose parent is s.
func (spans tree) below(s span) tree {
	return slices.DeleteFunc(slices.Clone(spans), func(o span) bool { return o.Parent != s.ID })
}

// one returns the only span.
func (spans tree) one(t *testing.T) span {
	t.Helper()
	require.Len(t, spans, 1, "%v", spans.names())
	return spans[0]
}

func (spans tree) names() (names []string) {
	for _, s := range spans {
		names = append(names, s.Name)
	}
	return names
}

// attempts returns the spans of attempts in their order.
func (spans tree) attempts() tree {
	made := slices.DeleteFunc(
		spans.named(http.MethodPost),
		func(s span) bool { return s.Kind != tracepb.Span_SPAN_KIND_CLIENT },
	)
	slices.SortFunc(made, func(a, b span) int {
		return int(a.Attributes["greenroom.attempt"].(int64) - b.Attributes["greenroom.attempt"].(int64))
	})
	return made
}

// requireWhole requires that each span but the first has its parent in the trace.
func (spans tree) requireWhole(t *testing.T) {
	t.Helper()
	known := map[string]bool{}
	for _, s := range spans {
		require.False(t, known[s.ID], "%s was sent twice", s.Name)
		known[s.ID] = true
	}
	roots := 0
	for _, s := range spans {
		if !known[s.Parent] {
			roots++
			require.Empty(t, s.Parent, "the parent of %s is missing", s.Name)
		}
	}
	require.Equal(t, 1, roots)
}

// lines is a log that a test reads.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
