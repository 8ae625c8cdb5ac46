package deliver

import (
	"context"
	"errors"
	"sync"

	"github.com/google/uuid"
)

// flights are the attempts and batches that this process is making, from before the POST until the record. When
// Temporal retries an activity whose first try still waits for the database, the second try waits for the first instead
// of sending again. This works within one process: when another process gets the retry, it sends again.
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

// errUnfinished means that the first try panicked.
var errUnfinished = errors.New("the attempt was not finished")

// begin returns the flight of a key. mine: it is new, and the caller makes the attempt and calls end.
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

// wait returns the result of the flight.
func (fl *flight) wait(ctx context.Context) (AttemptResult, error) {
	select {
	case <-fl.landed:
		return fl.res, fl.err
	case <-ctx.Done():
		return AttemptResult{}, context.Cause(ctx)
	}
}

// alone waits until no other try of this process has the key, and begins a flight.
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
