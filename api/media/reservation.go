package media

import (
	"context"
	"log/slog"
	"time"

	"github.com/uptrace/bun"

	"greenroom/db"
)

// Lease is how long a reserved file is kept after the last sign of its uploader, who gives one each quarter of it:
// minutes after a process was killed in the middle of an upload, nothing of that is left. It is longer than the
// database may be away, and than the minute that db wants to be left when a row is to count on the file.
const Lease = 4 * time.Minute

// Reservations keep files that are being uploaded from the sweeper.
type Reservations struct {
	DB *bun.DB
	// Lease of zero means [Lease].
	Lease  time.Duration
	Logger *slog.Logger
}

// Reserve lists a file that is about to be uploaded ([db.ReserveFile]), and renews that until release is called or
// ctx ends.
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

// renew tries again after a fault: a lease has room for three.
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
			r.Logger.WarnContext(ctx, "renew reservation of upload", "error", err)
		}
	}
}
