// Package devstack runs the stores that Greenroom needs on one machine: a PostgreSQL cluster and a Temporal server.
//
// It runs the real programs, found on the machine or fetched once, as child processes; there is no
// container runtime and no mock. `greenroom dev`, `greenroom dev exec` (the tests) and `greenroom bench` share it.
//
// Two rules determine the code. First, a child does not outlive its parent: every child has its own process group, so
// that a Ctrl-C in the terminal reaches only Greenroom, which stops its children in order. On Linux the kernel signals
// them when Greenroom is killed; on other systems the next start stops the orphaned processes. Second, nothing outside
// the directory changes, with two exceptions: the user's cache (a built Temporal) and, for root with a directory that
// no other user can enter, /var/lib/greenroom.
package devstack
