package delivery

import (
	"context"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"greenroom/db/pg"
)

// OpenTransaction is a transaction of this database that the feed, and lines if it stores events, wait for.
type OpenTransaction struct {
	// PID is that of its session. 0: it is prepared under the name Prepared.
	PID      int
	Prepared string
	// User, Application, Client (an address) and State are "" if unknown.
	User, Application, Client, State string
	// Since is when it began, Age how long ago. nil and 0: this user of the database may not see it.
	Since *time.Time
	Age   time.Duration
	// Stores: it has stored or changed events. Otherwise it has changed something else.
	Stores bool
}

// OpenTransactions returns the transactions that have changed something and are older than age, or of an unknown age.
// Those that store events come first, then the oldest.
func OpenTransactions(ctx context.Context, db bun.IDB, age time.Duration) (open []OpenTransaction, err error) {
	rows, err := pg.Direct(db).QueryContext(ctx, openTransactionsSQL, age.Milliseconds())
	if err != nil {
		return nil, fmt.Errorf("list open transactions: %w", err)
	}
	defer func() { _ = rows.Close() }() // rows.Err reports its error
	for rows.Next() {
		var o OpenTransaction
		err := rows.Scan(&o.PID, &o.Prepared, &o.User, &o.Application, &o.Client, &o.State, &o.Since, &o.Age, &o.Stores)
		if err != nil {
			return nil, fmt.Errorf("list open transactions: %w", err)
		}
		open = append(open, o)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("list open transactions: %w", err)
	}
	return open, nil
}

const openTransactionsSQL = `
WITH writers AS MATERIALIZED (
  SELECT virtualtransaction, pid FROM pg_locks WHERE ` + storesEvents + `
), open AS (
  SELECT a.pid, '' AS prepared, a.usename, a.application_name, host(a.client_addr) AS client, a.state,
    a.xact_start AS since, a.pid = ANY (ARRAY(SELECT pid FROM writers WHERE pid IS NOT NULL)) AS stores
  FROM pg_stat_activity a
  WHERE a.datname = current_database() AND a.pid <> pg_backend_pid()
    AND (a.backend_xid IS NOT NULL OR a.pid = ANY (ARRAY(SELECT pid FROM writers WHERE pid IS NOT NULL)))
  UNION ALL
  SELECT 0, p.gid, p.owner, '', '', 'prepared', p.prepared, EXISTS (
    SELECT FROM writers w JOIN pg_locks x ON x.virtualtransaction = w.virtualtransaction
    WHERE w.pid IS NULL AND x.pid IS NULL AND x.locktype = 'transactionid' AND x.transactionid = p.transaction)
  FROM pg_prepared_xacts p WHERE p.database = current_database()
)
SELECT pid, prepared, COALESCE(usename, ''), COALESCE(application_name, ''), COALESCE(client, ''), COALESCE(state, ''),
  since, COALESCE(extract(epoch FROM clock_timestamp() - since) * 1000000000, 0)::bigint, stores
FROM open WHERE since IS NULL OR since < clock_timestamp() - $1 * interval '1 ms'
ORDER BY stores DESC, since`
