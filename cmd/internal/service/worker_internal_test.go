package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/serviceerror"
)

func TestWhileNamespaced(t *testing.T) {
	t.Parallel()
	none := fmt.Errorf("start worker: %w", serviceerror.NewNamespaceNotFound("default"))
	other := errors.New("worker died")
	quiet := slog.New(slog.DiscardHandler)

	t.Run("runs_again_when_the_namespace_is_there", func(t *testing.T) {
		t.Parallel()
		var steps []string
		runs, prepared := []error{none, none, nil}, []error{none, nil, nil}
		err := whileNamespaced(t.Context(), func() error {
			steps = append(steps, "run")
			err := runs[0]
			runs = runs[1:]
			return err
		}, func() error {
			steps = append(steps, "prepare")
			err := prepared[0]
			prepared = prepared[1:]
			return err
		}, quiet)
		require.NoError(t, err)
		require.Equal(t, []string{"run", "prepare", "prepare", "run", "prepare", "run"}, steps)
	})
	t.Run("any_other_end_is_the_end", func(t *testing.T) {
		t.Parallel()
		err := whileNamespaced(t.Context(), func() error { return other }, func() error { panic("unexpected call") }, quiet)
		require.ErrorIs(t, err, other)
	})
	t.Run("stops_waiting_with_its_context", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(t.Context())
		err := whileNamespaced(ctx, func() error { return none }, func() error { cancel(); return none }, quiet)
		require.ErrorIs(t, err, context.Canceled)
	})
}
