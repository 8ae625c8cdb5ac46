package dispatch

import (
	"context"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"greenroom/db/delivery"
)

// listenRetry is the pause before listening again after the connection broke. The queue is polled in the meantime.
const listenRetry = time.Second

const (
	// listenProof begins the payload of a notification by which a dispatcher checks that it is notified. Another
	// dispatcher's is ignored.
	listenProof = "listening:"
	// proofWithin is how long the proof may take.
	proofWithin = 5 * time.Second
)

// listen wakes the dispatcher at each notification, on a connection of its own, until ctx ends.
func (d *Dispatcher) listen(ctx context.Context) {
	for ctx.Err() == nil {
		if err := d.listenOnce(ctx); err != nil && ctx.Err() == nil {
			d.o.Logger.DebugContext(ctx, "listen", "error", err)
			sleep(ctx, listenRetry)
		}
	}
}

func (d *Dispatcher) listenOnce(ctx context.Context) error {
	conn, err := d.o.DB.DB.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	return conn.Raw(func(raw any) error {
		c := raw.(*stdlib.Conn).Conn()
		// The connection goes back to the pool broken rather than still listening.
		defer func() { _ = c.Close(context.WithoutCancel(ctx)) }()
		if _, err := c.Exec(ctx, "LISTEN "+pgx.Identifier{delivery.QueueChannel}.Sanitize()); err != nil {
			return err
		}
		d.wakeAll() // for rows written between the last round and LISTEN
		proof := listenProof + uuid.NewString()
		if _, err := d.o.DB.ExecContext(ctx, "SELECT pg_notify(?, ?)", delivery.QueueChannel, proof); err != nil {
			return err
		}
		missing := time.AfterFunc(proofWithin, func() { d.reportNoNotification(ctx) })
		defer missing.Stop()
		for {
			n, err := c.WaitForNotification(ctx)
			if err != nil {
				return err
			}
			switch {
			case n.Payload == proof:
				missing.Stop()
			case strings.HasPrefix(n.Payload, listenProof):
			case n.Payload == delivery.OnlyDeliveries:
				wake(d.deliveries)
			case n.Payload == delivery.OrderedDeliveries:
				d.WakeLines()
				wake(d.deliveries)
			default:
				d.wakeAll()
			}
		}
	})
}

func (d *Dispatcher) wakeAll() {
	d.WakeLines()
	d.Wake()
}

// reportNoNotification says what to set when a pooler drops notifications.
func (d *Dispatcher) reportNoNotification(ctx context.Context) {
	if ctx.Err() == nil {
		d.o.Logger.WarnContext(ctx, "PostgreSQL does not notify this worker: it finds new work by polling alone. "+
			"A pooler in transaction mode drops notifications: give workers a database.url with session pooling, "+
			"or one without the pooler", "poll_interval", d.o.PollInterval)
	}
}
