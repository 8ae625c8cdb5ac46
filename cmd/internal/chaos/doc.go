// Package chaos checks that no accepted event is lost: it runs the product as it is installed (API and worker
// processes, the full Temporal server on PostgreSQL), publishes at a constant rate, injects random faults and
// then accounts for every accepted event at the receiver and in the database.
//
// A seed determines the kinds, order, pauses and lengths of the faults. Their effects differ between runs because the
// processes race. An event counts as accepted when the API responded 2xx; a request without a response may be stored or
// not. An accepted event must have arrived, or its delivery must have ended for a known reason: the operator canceled
// it, or its receiver failed every attempt of its schedule.
package chaos
