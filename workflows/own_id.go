package workflows

import (
	"fmt"

	"github.com/google/uuid"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/workflow"
)

// OwnIDs returns the interceptor that refuses a workflow which was started by hand under another id than Greenroom
// gives it. Beside the workflow of the row it would send a delivery or place a call a second time.
func OwnIDs() interceptor.WorkerInterceptor { return &ownIDs{} }

type ownIDs struct {
	interceptor.WorkerInterceptorBase
}

func (*ownIDs) InterceptWorkflow(
	ctx workflow.Context,
	next interceptor.WorkflowInboundInterceptor,
) interceptor.WorkflowInboundInterceptor {
	i := &ownID{}
	i.Next = next
	return i
}

type ownID struct {
	interceptor.WorkflowInboundInterceptorBase
}

func (i *ownID) ExecuteWorkflow(ctx workflow.Context, in *interceptor.ExecuteWorkflowInput) (any, error) {
	if len(in.Args) == 1 {
		want, id := workflowIDOf(in.Args[0]), workflow.GetInfo(ctx).WorkflowExecution.ID
		if want != "" && want != id {
			return nil, refuse(fmt.Sprintf("the workflow id is %q and must be %q: Greenroom starts this workflow itself",
				id, want))
		}
	}
	return i.Next.ExecuteWorkflow(ctx, in)
}

// workflowIDOf returns the id of the workflow with this input; "" when any id will do, or the workflow refuses the
// input itself.
func workflowIDOf(input any) string {
	var row uuid.UUID
	var id string
	switch in := input.(type) {
	case DeliverWebhookInput:
		row, id = in.DeliveryID, DeliverWebhookWorkflowID(in.DeliveryID, in.Generation)
	case DeliverBatchInput:
		row, id = in.BatchID, DeliverBatchWorkflowID(in.BatchID)
	case DeliverStreamInput:
		row, id = in.StreamID, DeliverStreamWorkflowID(in.StreamID)
	case CircuitInput:
		row, id = in.WebhookID, CircuitWorkflowID(in.WebhookID)
	case InterviewInput:
		row, id = in.InterviewID, InterviewWorkflowID(in.InterviewID)
	case ReplayDeliveriesInput:
		row, id = in.ReplayID, ReplayWorkflowID(in.ReplayID)
	case GenerateInterviewInput:
		row, id = in.GenerationID, GenerateInterviewWorkflowID(in.GenerationID)
	case ServiceRunInput:
		row, id = in.RunID, ServiceRunWorkflowID(in.RunID)
	}
	if row == uuid.Nil {
		return ""
	}
	return id
}
