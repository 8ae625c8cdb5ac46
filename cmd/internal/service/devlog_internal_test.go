package service

import (
	"bytes"
	"log/slog"
	"testing"

	"github.com/lmittmann/tint"
	"github.com/stretchr/testify/require"

	"greenroom/cmd/internal/config"
)

func TestShortLines(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	l := slog.New(shortLines{"http://g/console", tint.NewTextHandler(&out, &tint.Options{NoColor: true, TimeFormat: "-"})})
	for want, write := range map[string]func(){
		"- INF interview.started → acme.example 204 3ms delivery_id=d\n": func() {
			l.Info("attempt", "delivery_id", "d", "webhook_id", "w", "host", "acme.example", "event_type", "interview.started",
				"attempt", 1, "outcome", "succeeded", "duration_ms", 3, "status_code", 204)
		},
		"- INF ping → acme.example connect (retry) 1ms console=http://g/console/deliveries/d\n": func() {
			l.Info("attempt", "delivery_id", "d", "host", "acme.example", "event_type", "ping", "outcome", "retry",
				"duration_ms", 1, "error_kind", "connect")
		},
		"- INF POST /events 202 3ms\n": func() {
			l.Info("request", "api_key_id", "k", "method", "POST", "route", "/events", "status", 202, "duration_ms", 3.04)
		},
		"- WRN circuit opened: greenroom webhooks reset-circuit w host=acme.example last_error=refused console=http://g/console/webhooks/w/circuit\n": func() {
			l.Warn("circuit opened", "webhook_id", "w", "host", "acme.example", "last_error", "refused",
				"cure", "greenroom webhooks reset-circuit w", "console", "http://g/console/webhooks/w/circuit")
		},
		"- INF worker ready task_queue=greenroom\n": func() { l.Info("worker ready", "task_queue", "greenroom") },
	} {
		out.Reset()
		write()
		require.Equal(t, want, out.String())
	}
}

func TestDevLogger_writes_plain_lines_into_a_file(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	DevLogger(config.Config{}, &out).Info("attempt", "outcome", "succeeded")
	require.Contains(t, out.String(), "msg=attempt outcome=succeeded\n")
}
