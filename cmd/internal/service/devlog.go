package service

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/lmittmann/tint"
	"golang.org/x/term"

	"greenroom/cmd/internal/config"
)

// DevLogger is Logger for `greenroom dev`: at a terminal, lines are short and have colours, unless NO_COLOR is set or
// log.format is json.
func DevLogger(cfg config.Config, w io.Writer) *slog.Logger {
	file, isFile := w.(*os.File)
	if !isFile || !term.IsTerminal(int(file.Fd())) || cfg.Log.Format == config.LogJSON {
		return Logger(cfg, w)
	}
	return slog.New(joined(cfg, shortLines{consoleURL(cfg), tint.NewTextHandler(w, &tint.Options{
		Level: cfg.Log.Level, TimeFormat: time.TimeOnly, NoColor: os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb",
	})}))
}

// shortLines rewrites the wide lines of requests, attempts and circuits as one short text; those of attempts that
// failed and of circuits end with a link to the console. Other lines stay.
type shortLines struct {
	console string // its URL; "": there is none
	slog.Handler
}

// Handle implements [slog.Handler].
func (h shortLines) Handle(ctx context.Context, r slog.Record) error {
	values := map[string]slog.Value{}
	r.Attrs(func(a slog.Attr) bool {
		values[a.Key] = a.Value
		return true
	})
	text, kept := "", []string(nil)
	switch {
	case r.Message == "attempt":
		text = fmt.Sprintf("%s → %s %s %sms", values["event_type"], values["host"], answerOf(values), values["duration_ms"])
		kept = []string{"delivery_id", "trace_id"}
		if h.console != "" && values["outcome"].String() != "succeeded" {
			kept = []string{"trace_id", "console"}
			values["console"] = slog.StringValue(h.console + "/deliveries/" + values["delivery_id"].String())
		}
	case r.Message == "request":
		text = fmt.Sprintf("%s %s %s %.0fms", values["method"], values["route"], values["status"],
			values["duration_ms"].Float64())
		kept = []string{"trace_id"}
	case values["cure"].Kind() == slog.KindString:
		text = fmt.Sprintf("%s: %s", r.Message, values["cure"])
		kept = []string{"host", "last_error", "console"}
	default:
		return h.Handler.Handle(ctx, r)
	}
	short := slog.NewRecord(r.Time, r.Level, text, r.PC)
	for _, key := range kept {
		if v, has := values[key]; has {
			short.AddAttrs(slog.Attr{Key: key, Value: v})
		}
	}
	return h.Handler.Handle(ctx, short)
}

// answerOf is the status of an attempt, or why there is none, and what follows.
func answerOf(values map[string]slog.Value) string {
	answer := values["outcome"].String()
	for _, key := range []string{"status_code", "error_kind"} {
		if v, has := values[key]; has {
			answer = v.String()
			break
		}
	}
	if outcome := values["outcome"].String(); outcome != "succeeded" && outcome != answer {
		answer += " (" + outcome + ")"
	}
	return answer
}

// WithAttrs implements [slog.Handler].
func (h shortLines) WithAttrs(attrs []slog.Attr) slog.Handler {
	return shortLines{h.console, h.Handler.WithAttrs(attrs)}
}

// WithGroup implements [slog.Handler].
func (h shortLines) WithGroup(name string) slog.Handler {
	return shortLines{h.console, h.Handler.WithGroup(name)}
}
