// Package delivery is the delivery engine's rows: webhooks, events, deliveries and their attempts, the queue and the
// batches, circuits, replays, the outbox of commands to workflows, and the days that retention drops. One file is one
// table or one operation on it.
//
// The engine knows no interview, candidate or key: package db, the platform, stores events through it. The database
// is the arbiter of every state, so each change of state is one guarded statement. Statements of the hot path must
// cost the same whatever the planner believes of the tables: TestPlansFollowNoStatistics holds each of them to that.
package delivery
