// Package e2e tests the whole product from outside, by its API and a receiver over HTTP, with a real PostgreSQL and a
// real Temporal server. It contains only tests.
//
// A test runs the API and the worker in its own process if it only calls them, and as child processes
// if it kills them.
package e2e
