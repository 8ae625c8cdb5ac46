package pg

import (
	"context"
	"regexp"
	"strings"

	"github.com/exaring/otelpgx"
	"github.com/jackc/pgx/v5"
	"go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/embedded"
)

// newTracer makes a span of each statement in a sampled trace. The span has no text of the statement: Bun writes
// arguments into it, which are data of persons and secrets.
func newTracer() pgx.QueryTracer {
	return sampledOnly{otelpgx.NewTracer(
		otelpgx.WithTracerProvider(ofParent{}), otelpgx.WithMeterProvider(noop.NewMeterProvider()),
		otelpgx.WithDisableSQLStatementInAttributes(), otelpgx.WithSpanNameFunc(summary),
	)}
}

// sampledOnly leaves statements outside sampled traces alone, and does not trace what else a connection does.
type sampledOnly struct{ statements pgx.QueryTracer }

// TraceQueryStart implements [pgx.QueryTracer].
func (t sampledOnly) TraceQueryStart(ctx context.Context, c *pgx.Conn, d pgx.TraceQueryStartData) context.Context {
	if !trace.SpanFromContext(ctx).IsRecording() {
		return ctx
	}
	return t.statements.TraceQueryStart(ctx, c, d)
}

// TraceQueryEnd implements [pgx.QueryTracer]. The context is that of TraceQueryStart, so its span is the statement's.
func (t sampledOnly) TraceQueryEnd(ctx context.Context, c *pgx.Conn, d pgx.TraceQueryEndData) {
	if trace.SpanFromContext(ctx).IsRecording() {
		t.statements.TraceQueryEnd(ctx, c, d)
	}
}

// ofParent makes spans where their parents are made, so that a pool needs no provider of its own.
type ofParent struct{ embedded.TracerProvider }

// Tracer implements [trace.TracerProvider].
func (ofParent) Tracer(name string, o ...trace.TracerOption) trace.Tracer {
	return parentTracer{name: name, options: o}
}

type parentTracer struct {
	embedded.Tracer
	name    string
	options []trace.TracerOption
}

// Start implements [trace.Tracer].
func (t parentTracer) Start(
	ctx context.Context, name string, o ...trace.SpanStartOption,
) (context.Context, trace.Span) {
	return trace.SpanFromContext(ctx).TracerProvider().Tracer(t.name, t.options...).Start(ctx, name, o...)
}

// written and read find the first table that a statement changes, and that it reads.
var (
	written = regexp.MustCompile(`(?i)\b(insert|delete|update)(?:\s+into|\s+from)?\s+"?([a-z_]+)"?(?:\s+as)?` +
		`(?:\s+"?[a-z_]+"?)?\s*(?:\bset\b|\(|\bwhere\b|\busing\b|\bselect\b|$)`)
	read      = regexp.MustCompile(`(?i)\bfrom\s+"?([a-z_]+)"?(?:[^a-z_("]|$)`)
	firstWord = regexp.MustCompile(`^[A-Za-z]+`)
)

// summary names what a statement does to which table, such as "SELECT webhooks" or "INSERT events". For others than
// queries it is the first word.
func summary(sql string) string {
	const enough = 4 << 10 // of a statement with data in it
	sql = strings.TrimSpace(sql[:min(len(sql), enough)])
	if m := written.FindStringSubmatch(sql); m != nil {
		return strings.ToUpper(m[1]) + " " + m[2]
	}
	if m := read.FindStringSubmatch(sql); m != nil {
		return "SELECT " + m[1]
	}
	return strings.ToUpper(firstWord.FindString(sql))
}
