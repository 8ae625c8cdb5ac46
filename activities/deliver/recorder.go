package deliver

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"greenroom/db/delivery"
	"greenroom/db/pg"
)

// recorder writes the attempts of all batches of the process in groups. While one group is written the next gathers, so
// no attempt waits for a timer, and a busier process has larger groups.
type recorder struct {
	mu      sync.Mutex
	waiting []*recording
	writing bool
	room    *sync.Cond // waiting has room; made by the first add
}

// recording is an attempt to be written. recorded is called once it is written, or with the reason why it is not.
type recording struct {
	delivery.AttemptRecord
	recorded func(opened bool, err error)
}

// An attempt that is not recorded is sent again, so recording is retried while the database is unavailable, for as long
// as the process lives. recordTry bounds a try on a dead connection.
const (
	recordTry    = 10 * time.Second
	recordAgain  = 250 * time.Millisecond
	recordAtOnce = 200
	// recordedLate is how long after its start an attempt is recorded late: an erasure waits for twice as long.
	recordedLate = time.Minute
)

// add queues an attempt for writing. It blocks while a full group is waiting: this limits how many sent but unrecorded
// attempts a crash repeats, and how many the process holds while the database is unavailable.
func (r *recorder) add(a *Activities, rec *recording) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.room == nil {
		r.room = sync.NewCond(&r.mu)
	}
	for len(r.waiting) >= recordAtOnce {
		r.room.Wait()
	}
	r.waiting = append(r.waiting, rec)
	if !r.writing {
		r.writing = true
		go r.write(a)
	}
}

func (r *recorder) write(a *Activities) {
	for {
		r.mu.Lock()
		n := min(len(r.waiting), recordAtOnce)
		group := r.waiting[:n:n]
		if r.waiting = r.waiting[n:]; n == 0 {
			r.waiting, r.writing = nil, false
		}
		r.room.Broadcast()
		r.mu.Unlock()
		if n == 0 {
			return
		}
		a.recordGroup(group)
	}
}

// recordGroup writes the successes between two failures in one statement, and each failure alone: the circuit counts
// failures in a row, so their order matters.
func (a *Activities) recordGroup(group []*recording) {
	ctx := context.Background()
	var good []*recording
	for _, r := range group {
		if r.Attempt.Outcome == delivery.OutcomeSucceeded {
			good = append(good, r)
			continue
		}
		a.recordSuccesses(ctx, good)
		good = nil
		a.recordAlone(ctx, r)
	}
	a.recordSuccesses(ctx, good)
}

func (a *Activities) recordSuccesses(ctx context.Context, good []*recording) {
	if len(good) == 0 {
		return
	}
	rows := make([]delivery.AttemptRecord, len(good))
	for i, r := range good {
		rows[i] = r.AttemptRecord
	}
	err := a.retryWhileUnavailable(
		ctx,
		func(ctx context.Context) error { return delivery.RecordSuccesses(ctx, a.DB, rows) },
	)
	if err == nil {
		err = a.forgetErased(ctx, rows...)
	}
	if err != nil {
		for _, r := range good { // a row that cannot be written must not affect the others
			a.recordAlone(ctx, r)
		}
		return
	}
	a.noteMoved(slices.ContainsFunc(rows, func(r delivery.AttemptRecord) bool { return r.Ordered }))
	for _, r := range good {
		r.recorded(false, nil)
	}
}

// noteMoved calls Moved after the record of a delivery in a line.
func (a *Activities) noteMoved(ordered bool) {
	if ordered && a.Moved != nil {
		a.Moved()
	}
}

func (a *Activities) recordAlone(ctx context.Context, r *recording) {
	opened, err := a.recordUntilDone(ctx, r.AttemptRecord)
	r.recorded(opened, err)
}

// recordUntilDone records an attempt even if ctx ends, because the request was sent.
func (a *Activities) recordUntilDone(ctx context.Context, r delivery.AttemptRecord) (opened bool, err error) {
	err = a.retryWhileUnavailable(context.WithoutCancel(ctx), func(ctx context.Context) (err error) {
		opened, err = delivery.RecordAttempt(ctx, a.DB, r)
		return err
	})
	if err == nil {
		a.noteMoved(r.Ordered)
		err = a.forgetErased(ctx, r)
	}
	return opened, err
}

// forgetErased removes the answers of late attempts whose deliveries were erased before they were recorded.
func (a *Activities) forgetErased(ctx context.Context, rs ...delivery.AttemptRecord) error {
	var late []uuid.UUID
	for _, r := range rs {
		if time.Since(r.Attempt.StartedAt) > recordedLate {
			late = append(late, r.Attempt.DeliveryID)
		}
	}
	if len(late) == 0 {
		return nil
	}
	return a.retryWhileUnavailable(context.WithoutCancel(ctx), func(ctx context.Context) error {
		return delivery.ForgetErased(ctx, a.DB, late)
	})
}

// retryWhileUnavailable calls fn until it succeeds or fails for another reason than an unavailable database.
func (a *Activities) retryWhileUnavailable(ctx context.Context, fn func(context.Context) error) error {
	for logged := (time.Time{}); ; <-time.After(recordAgain) {
		try, cancel := context.WithTimeout(ctx, recordTry)
		err := fn(try)
		cancel()
		if err == nil || !pg.IsUnavailable(err) {
			return err
		}
		recordRetriesTotal.Inc()
		if time.Since(logged) > time.Minute {
			logged = time.Now()
			a.Logger.WarnContext(ctx, "an attempt cannot be recorded yet", "error", err)
		}
	}
}
