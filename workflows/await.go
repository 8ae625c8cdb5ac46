package workflows

import (
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
)

// await waits for one of the selector's cases, or for a cancellation request: then it returns a CanceledError. Every
// wait of this package goes through it, because a Receive by itself does not notice a cancellation request.
func await(ctx workflow.Context, sel workflow.Selector) error {
	sel.AddReceive(ctx.Done(), func(workflow.ReceiveChannel, bool) {})
	sel.Select(ctx)
	return ctx.Err()
}

// wasReset reports whether an operator has reset the workflow: what was sent is then sent again.
func wasReset(ctx workflow.Context) bool {
	info := workflow.GetInfo(ctx)
	return info.OriginalRunID != "" && info.OriginalRunID != info.WorkflowExecution.RunID
}

// refuse is the failure of a workflow whose input cannot be worked on. Nothing retries it.
func refuse(why string) error { return temporal.NewNonRetryableApplicationError(why, "Refused", nil) }
