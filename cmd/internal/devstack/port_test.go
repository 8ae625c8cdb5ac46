package devstack_test

import (
	"fmt"
	osexec "os/exec"
	"testing"

	"github.com/stretchr/testify/require"

	"greenroom/cmd/internal/devstack"
)

// A child that is being started holds every open socket of its parent until it executes its program.
func TestCheckAddr_of_a_free_port_while_processes_start(t *testing.T) {
	t.Parallel()
	started := make(chan error, 1)
	go func() {
		var err error
		for i := 0; i < 300 && err == nil; i++ {
			err = osexec.CommandContext(t.Context(), "true").Run()
		}
		started <- err
	}()
	// The number of ports that FreePort returns is limited: processes that start slowly must not use them up.
	for range 2000 {
		select {
		case err := <-started:
			require.NoError(t, err)
			return
		default:
		}
		port, err := devstack.FreePort()
		require.NoError(t, err)
		require.NoError(t, devstack.CheckAddr(t.Context(), fmt.Sprintf("127.0.0.1:%d", port), "a test", "nothing"))
	}
	require.NoError(t, <-started)
}
