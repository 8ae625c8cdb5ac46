// Package bench measures the product as it is installed: API and worker as processes of their own, PostgreSQL with real
// durability, the full Temporal server on PostgreSQL, and receivers over HTTP, all on one machine.
//
// Every measurement (a trial) gets a database and processes of its own, so that none inherits another's backlog,
// memory or warm caches; a warm-up comes first. The driver and the receivers share this process; what they use of the
// processor is told apart from what the servers use. Figures come from outside: arrival times at the receivers, and
// /proc (on Linux; elsewhere processor time and memory are left out).
package bench
