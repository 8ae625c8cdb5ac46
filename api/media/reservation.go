package media

import (
	"context"
	"log/slog"
	"time"

	"github.com/uptrace/bun"

	"greenroom/db"
)

// Lease is how long a reserved file is kept after the last renewal; it is renewed each quarter of that time. So minutes
// after a process was killed during an upload, the partial file is deleted. It is longer than a usual outage of the
// database, and longer than the minute that must remain when a row claims the file.
const Lease = 4 * time.Minute

// Reservations protect files from the sweeper while they are being uploaded.
type Reservations struct {
	DB *bun.DB
	// Lease of zero means [Lease].
	Lease  time.Duration
	Logger *slog.Logger
}

// Reserve reserves the name of a file before its upload ([db.ReserveFile]) and renews the lease until release is called
// or ctx ends.
func (r Reservations) Reserve(ctx context.Context, file string) (release func(), err error) {
	if r.Lease <= 0 {
		r.Lease = Lease
	}
	if err := db.ReserveFile(ctx, r.DB, file, time.Now().Add(r.Lease)); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.renew(ctx, file)
	}()
	return func() {
		cancel()
		<-done
	}, nil
}

// renew logs an error and retries at the next tick; a lease survives three failed renewals.
func (r Reservations) renew(ctx context.Context, file string) {
	tick := time.NewTicker(r.Lease / 4)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := db.RenewFile(ctx, r.DB, file, time.Now().Add(r.Lease)); err != nil && ctx.Err() == nil {
			r.Logger.WarnContext(ctx, "renew upload reservation", "error", err)
		}
	}
}
