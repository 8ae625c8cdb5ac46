// Package webhook turns a delivery into one HTTP POST and the receiver's answer into a plain value.
//
// The decision it rests on: what the receiver did is a result, never an error. [Client.Send] therefore always returns
// a [Response], [Classify] decides what it means and [NextWait] when to come back; all durable state stays with the
// caller.
//
// A [Profile] is the contract that a receiver was written for: data plus two small functions, render and sign. The
// contracts themselves are in package profiles; this one asks a Profile and never which one it has.
//
// [Client] is also the one way out of the process for every other outbound call ([Client.HTTPClient]): it checks the
// address after name resolution, ignores proxies from the environment, follows no redirect and bounds what it reads.
//
// The package knows neither the database nor the workflow engine, logs nothing, and keeps secrets out of its texts.
package webhook
