// Package chaos proves that nothing accepted is lost: it runs the product as it is installed (API and worker
// processes, the full Temporal server on PostgreSQL), publishes at a constant rate, breaks everything at random, and
// then accounts for every accepted event at the receiver and in the database.
//
// The faults follow from a seed: their kinds, order, pauses and lengths are the same in every run of that seed. Their
// effects are not, because the processes race. An event counts as accepted when the API answered 2xx; what a crash
// left without an answer may be delivered or not. An accepted event must have arrived, or its delivery must have
// ended for a reason that the run knows: an operator canceled it, or its receiver failed every attempt of its
// schedule.
package chaos
