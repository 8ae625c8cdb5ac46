// Package delivery stores the delivery engine's state: webhooks, events, deliveries and their attempts. The database
// decides every change of state: each change is one guarded statement or a transaction that locks the row.
//
// The files, in the order in which a delivery passes them:
//
//	webhook.go        registers, updates and deletes webhooks
//	event.go          stores events, with one pending and queued delivery for each subscribed webhook
//	eventgroup.go     combines events of concurrent callers into one commit; stores large submissions apart
//	idempotency.go    stores the answers to idempotency keys in that commit
//	fanout.go         estimates the deliveries of an event
//	queue.go          claims queued deliveries: fair between flows, bounded for each webhook
//	rate.go           rate limits of webhooks, shared by all workers: tokens for queued and for later attempts
//	hold.go           pauses or cancels claimed deliveries of blocked or deleted webhooks; requeues the others
//	batch.go          batches of first attempts: contents, lease, successes recorded together
//	delivery.go       states and lists of deliveries; loads one for an attempt; pauses, retries or cancels one
//	attempt.go        records an attempt, with the delivery's new state and the webhook's failures; opens the circuit
//	circuit.go        reads and resets circuits; releases paused deliveries
//	abandoned.go      disables webhooks whose circuit has been open for too long
//	cancel.go         cancels the deliveries of a deleted webhook, page by page
//	replay.go         replays ended deliveries of a webhook, page by page
//	command.go        outbox of commands to workflows: back-off and parking of refused commands
//	reconcile.go      sweeps overdue deliveries: requeues those that lost their workflow; requeues a probe
//	reconcile_due.go  finds circuits, releases and replays that lost their workflow
//	partition.go      creates the day partitions
//	retention.go      drops old day partitions; ends deliveries that stayed paused for too long
//
// The package knows no interview, candidate or key: package db stores the platform's events through it. The cost of a
// statement of the delivery path must not depend on the planner's statistics: TestPlansFollowNoStatistics checks each.
package delivery
