// Package db is the platform's rows: companies, jobs, candidates, interviews and what belongs to them. One file is
// one table, its model first, then its queries. It knows neither gin nor Temporal. Webhooks and their deliveries are
// package delivery's, which knows nothing of this one; what both need is package pg's.
//
// The database is the arbiter of every state: a change of state is one guarded statement (… WHERE status =
// 'SCHEDULED') and the event it causes, the deliveries of that event and the commands to workflows are written in the
// same transaction. A function that must not be called outside a transaction takes a bun.Tx; one that may run
// anywhere takes a bun.IDB.
package db
