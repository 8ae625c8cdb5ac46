// Package webhook turns a delivery into one HTTP POST and the receiver's answer into a plain value.
//
// The design decision: what the receiver did is a result, never an error. [Client.Send] always returns a [Response];
// [Classify] decides what it means, and [Profile.NextAttempt] when to retry. The caller keeps all durable state.
//
// A [Profile] is the contract that a receiver was written for: data plus two small functions, render and sign. The
// contracts are in package profiles; this package never checks which profile it has.
//
// [Client] also makes all other outbound calls of the process ([Client.HTTPClient]): it checks the address after name
// resolution, ignores proxies from the environment, follows no redirects and bounds what it reads.
//
// The package uses neither the database nor the workflow engine, logs nothing, and keeps secrets out of error texts.
package webhook
