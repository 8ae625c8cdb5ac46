// Package e2e tests the whole product from outside: HTTP in, a receiver over HTTP out, on a real PostgreSQL and a real
// Temporal server. It has no code but tests.
//
// A test runs the API and the worker in its own process where it only talks to them, and as processes of their own
// where it kills them.
package e2e
