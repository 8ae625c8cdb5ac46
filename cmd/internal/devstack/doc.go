// Package devstack gives one machine what Greenroom stands on: a PostgreSQL cluster and a Temporal development server.
//
// It uses the real programs, found on the machine or fetched once, as child processes in the foreground; there is no
// container runtime and no mock. `greenroom dev`, `greenroom dev exec` (the tests) and `greenroom bench` share it.
//
// Two rules shape the code. A child lives no longer than its parent: every child has its own process group, so that a
// Ctrl-C in the terminal reaches only Greenroom, which stops its children in order; on Linux the kernel signals them
// when Greenroom is killed; elsewhere the next start stops what a killed one left. And nothing outside the directory
// is touched but what has to be: the user's cache (a built Temporal) and, for root with a directory that no other
// user may enter, /var/lib/greenroom.
package devstack
