package workflows

import (
	"fmt"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
)

// await waits for one of the selector's cases or for a cancellation request, which returns a CanceledError. Every wait
// of this package uses it, because Receive alone does not notice a cancellation request.
func await(ctx workflow.Context, sel workflow.Selector) error {
	sel.AddReceive(ctx.Done(), func(workflow.ReceiveChannel, bool) {})
	sel.Select(ctx)
	return ctx.Err()
}

// wasReset reports whether an operator reset the workflow. Its deliveries are then sent again.
func wasReset(ctx workflow.Context) bool {
	info := workflow.GetInfo(ctx)
	return info.OriginalRunID != "" && info.OriginalRunID != info.WorkflowExecution.RunID
}

// refuseWithout fails a workflow whose input lacks a field, because an operator started it by hand. A row that needs a
// workflow gets one from the dispatcher, with all fields.
func refuseWithout(field string) error {
	return refuse(fmt.Sprintf("the input has no %q: a row that needs this workflow is given one within a minute", field))
}

// refuse returns the error that fails a workflow whose input is invalid. It is not retried.
func refuse(why string) error { return temporal.NewNonRetryableApplicationError(why, "Refused", nil) }
