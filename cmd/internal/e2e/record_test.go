package e2e_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/protobuf/encoding/protojson"
)

// recordTo is the variable with the folder for recorded histories: `make histories` sets it, and the tests
// of package workflows replay the files.
const recordTo = "GREENROOM_RECORD_HISTORIES"

// Fields that identify the machine and process of an event and that a replay does not need: identities and the sticky
// queues of workers.
var (
	identity = regexp.MustCompile(`("identity":\s*)"[^"]*"`)
	sticky   = regexp.MustCompile(`("name":\s*)"[^":]+:([0-9a-f-]{36})"`)
)

// record writes the history of an ended workflow to <name>.json if recordTo is set.
func (s *system) record(name, workflowID string) {
	s.t.Helper()
	dir := os.Getenv(recordTo)
	if dir == "" {
		return
	}
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	s.eventually(func() bool { // a canceled workflow has ended too
		d, err := s.temporal().DescribeWorkflowExecution(ctx, workflowID, "")
		return err == nil && d.WorkflowExecutionInfo.Status != enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING
	}, "workflow %s ends", workflowID)
	history := &historypb.History{}
	events := s.temporal().
		GetWorkflowHistory(ctx, workflowID, s.firstRun(ctx, workflowID), false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		e, err := events.Next()
		require.NoError(s.t, err)
		history.Events = append(history.Events, e)
	}
	raw, err := protojson.MarshalOptions{Multiline: true}.Marshal(history)
	require.NoError(s.t, err)
	raw = identity.ReplaceAll(raw, []byte(`$1"worker"`))
	raw = sticky.ReplaceAll(raw, []byte(`$1"worker:$2"`))
	require.NoError(s.t, os.WriteFile(filepath.Join(dir, name+".json"), raw, 0o600))
}

// firstRun returns the run that did the work. A late signal can have started a later run without work.
func (s *system) firstRun(ctx context.Context, workflowID string) (id string) {
	s.t.Helper()
	s.eventually(func() bool {
		var first time.Time
		list, err := s.temporal().ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{
			Namespace: "default", Query: fmt.Sprintf("WorkflowId = '%s'", workflowID),
		})
		require.NoError(s.t, err)
		for _, w := range list.Executions {
			if at := w.StartTime.AsTime(); first.IsZero() || at.Before(first) {
				first, id = at, w.Execution.RunId
			}
		}
		return id != ""
	}, "the workflow is listed")
	return id
}
