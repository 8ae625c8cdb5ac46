package dispatch

import (
	"context"
	"errors"
	"time"

	"greenroom/db"
)

const (
	// eraseEvery is how soon an erasure that was requested is continued.
	eraseEvery = 5 * time.Second
	// expireEvery is how long after midnight (UTC) a candidate whose gdprExpiryDate has passed is erased at the latest.
	expireEvery = time.Hour
	// erasuresAtOnce bounds one round's list.
	erasuresAtOnce = 100
)

// erase continues the erasures that have work to do. It needs PostgreSQL alone. An erasure that fails does not hold up
// the others.
func (d *Dispatcher) erase(ctx context.Context) error {
	ids, err := db.DueErasures(ctx, d.o.DB, erasuresAtOnce)
	if err != nil {
		return err
	}
	var faults []error
	for _, id := range ids {
		for more := true; more && ctx.Err() == nil; {
			if more, err = db.ContinueErasure(ctx, d.o.DB, id); err != nil {
				faults = append(faults, err)
				break
			}
		}
	}
	return errors.Join(faults...)
}

// expire begins the erasure of candidates whose gdprExpiryDate has passed.
func (d *Dispatcher) expire(ctx context.Context) error {
	for {
		n, err := db.BeginExpired(ctx, d.o.DB, erasuresAtOnce)
		if n > 0 {
			d.o.Logger.InfoContext(ctx, "erasing candidates whose gdprExpiryDate has passed", "candidates", n)
		}
		if err != nil || n < erasuresAtOnce {
			return err
		}
	}
}
