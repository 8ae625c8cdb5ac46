// Package admin manages keys, webhooks, deliveries and staff users for operators at a shell: directly in the database
// or, what the API can do, through a running API.
//
// In the database it needs neither the API nor Temporal, so it also works during an outage of either. It applies the
// same rules as the API: rows change through the functions of packages db and delivery, which write the commands for
// workflows to the outbox, and the packages of the API check the values. Through the API (remote*.go) it reads the
// answers into the same values, so that both print the same; the API's errors are the errors.
//
// Functions return plain values. print.go prints them as a table or as JSON.
package admin
