package service

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestQuieter(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	l := quieter(slog.New(slog.NewTextHandler(&out, nil))).With("Namespace", "default")
	l.Info("Started Worker")
	l.Warn("[TMPRL1104] Workflow task duration exceeded 5 seconds")
	l.Warn("Workflow has unhandled signals", "SignalNames", "[wake]")
	for range 3 {
		l.Error("Activity error.", "ActivityType", "AttemptDelivery")
	}
	l.Error("Activity error.", "ActivityType", "LoadCircuit")
	l.Error("Workflow panic")
	require.Equal(t, 3, strings.Count(out.String(), "\n"), out.String())
	require.Equal(t, 1, strings.Count(out.String(), "AttemptDelivery"))
	require.Contains(t, out.String(), "level=WARN msg=\"Activity error.\" Namespace=default ActivityType=LoadCircuit")
	require.Contains(t, out.String(), "level=ERROR msg=\"Workflow panic\"")
}
