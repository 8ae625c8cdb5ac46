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

// recordTo names the variable with the folder that histories are recorded in: `make histories` sets it, and the files
// are replayed by the tests of package workflows ever after.
const recordTo = "GREENROOM_RECORD_HISTORIES"

// What names the machine and process that made an event, and is nothing that a replay needs: identities, and the sticky
// queues of workers.
var (
	identity = regexp.MustCompile(`("identity":\s*)"[^"]*"`)
	sticky   = regexp.MustCompile(`("name":\s*)"[^":]+:([0-9a-f-]{36})"`)
)

// record keeps the history of an ended workflow as <name>.json, when histories are being recorded.
func (s *system) record(name, workflowID string) {
	s.t.Helper()
	dir := os.Getenv(recordTo)
	if dir == "" {
		return
	}
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	s.eventually(func() bool { // a canceled one has ended too
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

// firstRun is the run that did the work; a late signal may have started one after it that had nothing to do.
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
