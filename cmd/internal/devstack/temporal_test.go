package devstack_test

import (
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/sdk/client"

	"greenroom/cmd/internal/devstack"
)

// The subtests use one server. Each continues in the state that the previous one left.
func TestTemporal(t *testing.T) {
	t.Parallel()
	uiPort, err := devstack.FreePort()
	require.NoError(t, err)
	dir := t.TempDir()
	opts := devstack.TemporalOptions{
		Dir:     dir,
		Program: os.Getenv("GREENROOM_TEST_TEMPORAL_BIN"),
		DBFile:  filepath.Join(dir, "temporal.db"),
		UIPort:  uiPort,
	}
	server, err := devstack.StartTemporal(t.Context(), opts)
	require.NoError(t, err)
	t.Cleanup(func() { _ = server.Stop(context.Background()) }) // often stopped already
	start(t, server, "before")

	t.Run("has_the_search_attributes", func(t *testing.T) {
		list, err := dial(t, server).OperatorService().ListSearchAttributes(t.Context(),
			&operatorservice.ListSearchAttributesRequest{Namespace: "default"})
		require.NoError(t, err)
		for _, a := range devstack.SearchAttributes {
			assert.Equal(t, a.Type, list.GetCustomAttributes()[a.Name].String(), a.Name)
		}
	})
	t.Run("shows_its_ui", func(t *testing.T) {
		response, err := http.Get(server.UIURL())
		require.NoError(t, err)
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		assert.Contains(t, string(body), "<html")
	})
	t.Run("keeps_port_and_histories_over_a_restart", func(t *testing.T) {
		before := server.Address()
		require.NoError(t, server.Restart(t.Context()))
		assert.Equal(t, before, server.Address())
		assert.Equal(t, enums.WORKFLOW_EXECUTION_STATUS_RUNNING, status(t, server, "before"))
	})
	t.Run("comes_back_from_kill", func(t *testing.T) {
		start(t, server, "at the kill")
		server.Kill()
		require.Error(t, devstack.CheckTemporal(t.Context(), server.Address()))
		require.NoError(t, server.Start(t.Context()))
		assert.Equal(t, enums.WORKFLOW_EXECUTION_STATUS_RUNNING, status(t, server, "at the kill"))
	})
	t.Run("is_taken_over_when_an_earlier_run_left_it_behind", func(t *testing.T) {
		opts.Port, opts.UIPort = 0, 0 // another port, the same data
		next, err := devstack.StartTemporal(t.Context(), opts)
		require.NoError(t, err)
		ended(t, server.Done())
		assert.Equal(t, enums.WORKFLOW_EXECUTION_STATUS_RUNNING, status(t, next, "before"))
		require.NoError(t, next.Stop(t.Context()))
	})
}

func dial(t *testing.T, server *devstack.Temporal) client.Client {
	t.Helper()
	c, err := client.DialContext(t.Context(), client.Options{HostPort: server.Address()})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

// start starts a workflow that no worker runs.
func start(t *testing.T, server *devstack.Temporal, id string) {
	t.Helper()
	_, err := dial(
		t,
		server,
	).ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: id, TaskQueue: "without-workers"}, "Nothing")
	require.NoError(t, err)
}

func status(t *testing.T, server *devstack.Temporal, id string) enums.WorkflowExecutionStatus {
	t.Helper()
	description, err := dial(t, server).DescribeWorkflowExecution(t.Context(), id, "")
	require.NoError(t, err)
	return description.GetWorkflowExecutionInfo().GetStatus()
}
