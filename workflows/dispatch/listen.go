package dispatch

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"greenroom/db/delivery"
)

// listenRetry is the pause before listening again after the connection broke. The queue is polled in the meantime.
const listenRetry = time.Second

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
		d.Wake() // for rows written between the last round and LISTEN
		for {
			if _, err := c.WaitForNotification(ctx); err != nil {
				return err
			}
			d.Wake()
		}
	})
}
