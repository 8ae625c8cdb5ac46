// Package workflows holds the decisions of the product as durable workflows: no I/O, no clock, no configuration.
//
// A workflow's input has ids and small values only, so that Temporal's history holds no secret, no candidate's data and
// no body. A function's name is its type's name in recorded histories: it is never renamed. Inputs and results are
// append only, and a change in the order of commands needs workflow.GetVersion. A test replays the histories in
// testdata.
package workflows

import (
	"github.com/google/uuid"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
)

// Search attributes. A worker registers them when it starts. WebhookId and CompanyId are lists, because a batch has
// deliveries of several webhooks and companies: `WebhookId = "…"` finds every workflow about a webhook.
var (
	WebhookID      = temporal.NewSearchAttributeKeyKeywordList("WebhookId")
	CompanyID      = temporal.NewSearchAttributeKeyKeywordList("CompanyId")
	JobID          = temporal.NewSearchAttributeKeyKeyword("JobId")
	EventType      = temporal.NewSearchAttributeKeyKeyword("EventType")
	DeliveryStatus = temporal.NewSearchAttributeKeyKeyword("DeliveryStatus")
)

// about returns the search attributes of a workflow of one webhook. company is zero for a webhook of the platform.
func about(webhook, company uuid.UUID) []temporal.SearchAttributeUpdate {
	updates := []temporal.SearchAttributeUpdate{WebhookID.ValueSet([]string{webhook.String()})}
	if company != uuid.Nil {
		updates = append(updates, CompanyID.ValueSet([]string{company.String()}))
	}
	return updates
}

// FlowAttributes returns the search attributes of a workflow that makes first attempts for several webhooks.
func FlowAttributes(webhooks, companies []string) (updates []temporal.SearchAttributeUpdate) {
	if len(webhooks) > 0 {
		updates = append(updates, WebhookID.ValueSet(webhooks))
	}
	if len(companies) > 0 {
		updates = append(updates, CompanyID.ValueSet(companies))
	}
	return updates
}

// SearchAttributes returns the name and type of each search attribute.
func SearchAttributes() map[string]enumspb.IndexedValueType {
	types := map[string]enumspb.IndexedValueType{}
	for _, k := range []temporal.SearchAttributeKey{WebhookID, CompanyID, JobID, EventType, DeliveryStatus} {
		types[k.GetName()] = k.GetValueType()
	}
	return types
}

// Values of DeliveryStatus.
const (
	StatusSucceeded = "succeeded"
	StatusRetrying  = "retrying"
	StatusPaused    = "paused"
	StatusFailed    = "failed"
	StatusCanceled  = "canceled"
)

// SlowTaskQueue is the task queue of attempts at slow and failing endpoints, which are regular activities there.
func SlowTaskQueue(taskQueue string) string { return taskQueue + "-slow" }

// Register makes every workflow known to a worker.
func Register(r worker.WorkflowRegistry) {
	r.RegisterWorkflow(DeliverWebhook)
	r.RegisterWorkflow(DeliverBatch)
	r.RegisterWorkflow(DeliverStream)
	r.RegisterWorkflow(Circuit)
	r.RegisterWorkflow(Interview)
	r.RegisterWorkflow(ReplayDelivery)
	r.RegisterWorkflow(ReplayDeliveries)
	r.RegisterWorkflow(GenerateInterview)
	r.RegisterWorkflow(ServiceRun)
	r.RegisterWorkflow(InviteStaff)
}
