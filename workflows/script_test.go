package workflows_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/testsuite"
)

// script is a test environment whose activities do nothing but what a test sets for them: no database, no services.
// The environment gives up an activity after ten tries.
type script struct {
	*testsuite.TestWorkflowEnvironment
	t     *testing.T
	start time.Time
	mu    sync.Mutex
	// on runs within the activity of that name, with its input. Its error is the activity's.
	on map[string]func(in any) error
	// tries are the tries of each activity, in order.
	tries map[string][]try
	// warnings are the messages that the workflow logged for an operator.
	warnings []string
}

// try is one try of an activity.
type try struct {
	at    time.Duration // since the start
	info  activity.Info
	input any
}

var errUnavailable = errors.New("unavailable")

func fails(any) error { return errUnavailable }

// failsOnce fails the first try of an activity. The second follows after a second, in which others finish.
func (s *script) failsOnce(name string) func(any) error {
	return func(any) error {
		if len(s.tries[name]) == 1 {
			return errUnavailable
		}
		return nil
	}
}

func newScript(t *testing.T) *script {
	t.Helper()
	var suite testsuite.WorkflowTestSuite
	s := &script{t: t, on: map[string]func(any) error{}, tries: map[string][]try{}}
	suite.SetLogger(slog.New(warnings{slog.DiscardHandler, s}))
	s.TestWorkflowEnvironment = suite.NewTestWorkflowEnvironment()
	s.start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	s.SetStartTime(s.start)
	s.SetTestTimeout(10 * time.Second)
	return s
}

// run records a try of the activity of ctx and does what is set for it.
func (s *script) run(ctx context.Context, input any) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	info := activity.GetInfo(ctx)
	name := info.ActivityType.Name
	s.tries[name] = append(s.tries[name], try{s.Now().Sub(s.start), info, input})
	if len(s.tries[name]) > 100 {
		panic(name + " is repeated without a wait")
	}
	if on := s.on[name]; on != nil {
		return on(input)
	}
	return nil
}

// waits are the times between the tries of an activity.
func (s *script) waits(name string) (waits []time.Duration) {
	for i, try := range s.tries[name][1:] {
		waits = append(waits, try.at-s.tries[name][i].at)
	}
	return waits
}

// seconds converts to durations.
func seconds(numbers ...int) (durations []time.Duration) {
	for _, n := range numbers {
		durations = append(durations, time.Duration(n)*time.Second)
	}
	return durations
}

// requireLimits asserts how long one try of an activity, and all of them together, may take; 0 means no limit.
func (s *script) requireLimits(name string, one, all time.Duration) {
	s.t.Helper()
	require.NotEmpty(s.t, s.tries[name], name)
	require.Equal(s.t, one, s.tries[name][0].info.StartToCloseTimeout, name)
	require.Equal(s.t, all, s.tries[name][0].info.ScheduleToCloseTimeout, name)
}

func (s *script) after(d time.Duration, fn func()) { s.RegisterDelayedCallback(fn, d) }

// warnings collects the messages of level warning.
type warnings struct {
	slog.Handler
	s *script
}

func (w warnings) Enabled(_ context.Context, level slog.Level) bool { return level == slog.LevelWarn }
func (w warnings) WithAttrs([]slog.Attr) slog.Handler               { return w }
func (w warnings) WithGroup(string) slog.Handler                    { return w }

func (w warnings) Handle(_ context.Context, r slog.Record) error {
	w.s.warnings = append(w.s.warnings, r.Message)
	return nil
}
