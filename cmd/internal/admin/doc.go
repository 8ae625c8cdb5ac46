// Package admin is what operators do from a shell, directly on the database: keys, webhooks, deliveries.
//
// It works without the API and without Temporal, because that is when an operator needs it most. It is no second set of
// rules: rows change through the functions of package db, which leave the commands for workflows in the outbox, and
// addresses, events and schedules are checked by packages webhook and catalog, as they are for a caller of the API.
//
// Every function answers with plain values; print.go turns them into a table for people or JSON for machines.
package admin
