package service

import (
	"context"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"

	"greenroom/cmd/internal/config"
)

// Logger returns the configured logger of the process.
func Logger(cfg config.Config, w io.Writer) *slog.Logger {
	o := &slog.HandlerOptions{Level: cfg.Log.Level}
	if cfg.Log.Format == config.LogJSON {
		return slog.New(joined(cfg, slog.NewJSONHandler(w, o)))
	}
	return slog.New(joined(cfg, slog.NewTextHandler(w, o)))
}

// quieter filters the log of the Temporal SDK. It drops info lines. An activity that fails is retried, and during
// an outage thousands fail: it writes one line per minute for each type, since Temporal shows every failure.
func quieter(l *slog.Logger) *slog.Logger {
	return slog.New(atLeastWarn{l.Handler(), &lastSaid{at: map[string]time.Time{}}})
}

type atLeastWarn struct {
	slog.Handler
	said *lastSaid
}

// harmless are warnings of the SDK in normal operation: a local activity that waits for a slow
// receiver, and a signal that arrived as its workflow ended.
var harmless = []string{"[TMPRL1104]", "Workflow has unhandled signals"}

// lastSaid records when a line was last written.
type lastSaid struct {
	mu sync.Mutex
	at map[string]time.Time
}

func (l *lastSaid) within(what string, d time.Duration) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if time.Since(l.at[what]) < d {
		return true
	}
	l.at[what] = time.Now()
	return false
}

// Handle implements slog.Handler.
func (h atLeastWarn) Handle(ctx context.Context, r slog.Record) error {
	for _, text := range harmless {
		if strings.HasPrefix(r.Message, text) {
			return nil
		}
	}
	if r.Message == "Activity error." {
		kind := ""
		r.Attrs(func(a slog.Attr) bool {
			if a.Key == "ActivityType" {
				kind = a.Value.String()
			}
			return true
		})
		if h.said.within(kind, time.Minute) {
			return nil
		}
		r.Level = slog.LevelWarn
	}
	return h.Handler.Handle(ctx, r)
}

func (h atLeastWarn) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn && h.Handler.Enabled(ctx, level)
}

func (h atLeastWarn) WithAttrs(attrs []slog.Attr) slog.Handler {
	return atLeastWarn{h.Handler.WithAttrs(attrs), h.said}
}

func (h atLeastWarn) WithGroup(name string) slog.Handler {
	return atLeastWarn{h.Handler.WithGroup(name), h.said}
}
