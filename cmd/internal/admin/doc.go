// Package admin manages keys, webhooks, deliveries and staff users directly in the database, for operators at a shell.
//
// It needs neither the API nor Temporal, so it also works during an outage of either. It applies the same rules as the
// API: rows change through the functions of packages db and delivery, which write the commands for workflows to the
// outbox, and the packages of the API check the values.
//
// Functions return plain values. print.go prints them as a table or as JSON.
package admin
