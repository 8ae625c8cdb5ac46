package deliver

import (
	"context"
	"errors"
	"sync"

	"github.com/google/uuid"
)

// flights are the attempts and batches that this process is at: from before the POST until it is recorded. An
// activity that is tried again while its first try still waits for the database (it timed out, or Temporal gave its
// task to this process a second time) waits for that one instead of sending again. Another process does not know of
// them: when this one records nothing for longer than the activity's time-out and another takes the retry, that one
// sends again.
type flights struct {
	mu sync.Mutex
	m  map[flightKey]*flight
}

// flightKey is a delivery and the number of its attempt, or a batch and 0.
type flightKey struct {
	id, run uuid.UUID
	attempt int
}

type flight struct {
	landed chan struct{}
	res    AttemptResult
	err    error
}

// errUnfinished: the first try ended without a result, by a panic.
var errUnfinished = errors.New("the attempt was not finished")

// begin returns the flight of that key; mine is true when there was none: the caller makes it and calls end.
func (f *flights) begin(k flightKey) (fl *flight, mine bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if fl = f.m[k]; fl != nil {
		return fl, false
	}
	if f.m == nil {
		f.m = map[flightKey]*flight{}
	}
	fl = &flight{landed: make(chan struct{}), err: errUnfinished}
	f.m[k] = fl
	return fl, true
}

func (f *flights) end(k flightKey, res AttemptResult, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fl := f.m[k]
	delete(f.m, k)
	fl.res, fl.err = res, err
	close(fl.landed)
}

// wait returns what came of the flight.
func (fl *flight) wait(ctx context.Context) (AttemptResult, error) {
	select {
	case <-fl.landed:
		return fl.res, fl.err
	case <-ctx.Done():
		return AttemptResult{}, context.Cause(ctx)
	}
}

// alone waits until no other try in this process is at it.
func (f *flights) alone(ctx context.Context, k flightKey) error {
	for {
		fl, mine := f.begin(k)
		if mine {
			return nil
		}
		if _, err := fl.wait(ctx); ctx.Err() != nil {
			return err
		}
	}
}
