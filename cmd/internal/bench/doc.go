// Package bench measures the product as it is installed: API and worker as processes, PostgreSQL with full
// durability, the full Temporal server on PostgreSQL, and receivers over HTTP, all on one machine.
//
// Every measurement (a trial) has its own database and processes, so that it does not inherit a backlog,
// memory or warm caches. It begins with a warm-up. The driver and the receivers run in this process; their CPU time is
// reported separately from that of the servers. Figures are measured from outside: arrival times at the receivers, and
// /proc (on Linux; on other systems CPU time and memory are left out).
package bench
