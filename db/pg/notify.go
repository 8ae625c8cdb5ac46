package pg

import (
	"context"
	"sync"
	"time"

	"github.com/uptrace/bun"
)

const (
	// notifyEvery is the shortest time between two rounds of notifications. A listener that is busy merges them anyway.
	notifyEvery = 5 * time.Millisecond
	// notifyLimit bounds a round. Listeners have polled by then.
	notifyLimit = time.Second
	// quietFor is how long a pool must have sent nothing until a statement may notify as a part of its own transaction.
	quietFor = 10 * time.Millisecond
)

// Notify sends a PostgreSQL notification after the transaction has committed, and soon when db is not a transaction. In
// a transaction that InTx did not begin, it may be sent before the commit. Notify does not block. It reports no error:
// a listener must also poll, because a process that is killed after its commit sends nothing.
//
// The notification is not part of the transaction: PostgreSQL commits transactions that notify one at a time, each with
// a flush of its own, in all databases of the server. Equal notifications of a pool are merged, and sent at once when
// none was sent within notifyEvery.
func Notify(db bun.IDB, channel, payload string) {
	n := notification{channel: channel, payload: payload}
	if tx, ok := db.(bun.Tx); ok {
		if after, ok := afterCommit.Load(tx.Tx); ok {
			after.(notifications)[n] = true
			return
		}
	}
	notifierOf(db).add(notifications{n: true})
}

// NotifiesItself reports whether a statement should call pg_notify itself instead of Notify after it: that saves a
// round trip and a flush while little is sent, and would make commits wait for each other when much is. done must be
// called when the statement has ended; until then, and for quietFor, others of the pool use Notify.
func NotifiesItself(db *bun.DB) (itself bool, done func()) { return notifierOf(db).claim(time.Now()) }

// Close sends the notifications that are pending, which would be lost when the process exits, and closes the pool.
func Close(db *bun.DB) error {
	if n, ok := notifiers.LoadAndDelete(db); ok {
		n.(*notifier).send()
	}
	return db.Close()
}

type notification struct{ channel, payload string }

type notifications map[notification]bool

// afterCommit has the notifications of each open transaction of InTx, by its *sql.Tx, which nested ones share.
var afterCommit sync.Map

// notifiers has the notifier of each *bun.DB.
var notifiers sync.Map

func notifierOf(db bun.IDB) *notifier {
	pool := db.NewRaw("").DB() // the only way to the pool of a transaction
	n, _ := notifiers.LoadOrStore(pool, &notifier{db: pool})
	return n.(*notifier)
}

// notifier sends the notifications of one pool. No goroutine runs while there are none.
type notifier struct {
	db *bun.DB

	sending sync.Mutex // held during a round, so that Close waits for it

	mu      sync.Mutex
	pending notifications
	running bool
	// claimed: a statement notifies itself. sent is when the last notification was sent.
	claimed bool
	sent    time.Time
}

func (n *notifier) claim(now time.Time) (itself bool, done func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.claimed || n.running || now.Sub(n.sent) < quietFor {
		return false, func() {}
	}
	n.claimed = true
	return true, func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.claimed, n.sent = false, time.Now()
	}
}

func (n *notifier) add(more notifications) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.pending == nil {
		n.pending = notifications{}
	}
	for key := range more {
		n.pending[key] = true
	}
	if !n.running {
		n.running = true
		go n.run()
	}
}

func (n *notifier) run() {
	for n.send() {
		<-time.After(notifyEvery)
	}
}

// send sends what is pending. It returns false when there was nothing: the goroutine that calls it must end.
func (n *notifier) send() bool {
	n.sending.Lock()
	defer n.sending.Unlock()
	n.mu.Lock()
	batch := n.pending
	n.pending = nil
	if n.running = len(batch) > 0; n.running {
		n.sent = time.Now()
	}
	n.mu.Unlock()
	if len(batch) == 0 {
		return false
	}
	var channels, payloads []string
	for key := range batch {
		channels, payloads = append(channels, key.channel), append(payloads, key.payload)
	}
	ctx, cancel := context.WithTimeout(context.Background(), notifyLimit)
	defer cancel()
	const query = "SELECT pg_notify(n.channel, n.payload) FROM unnest($1::text[], $2::text[]) AS n (channel, payload)"
	_, _ = Direct(n.db).ExecContext(ctx, query, channels, payloads) // lost when it fails: listeners poll
	return true
}
