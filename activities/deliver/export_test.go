package deliver

import (
	"context"
	"time"

	"github.com/google/uuid"
)

// AttemptAs is AttemptDelivery in the name of a workflow run, for tests that are no workflow.
var AttemptAs = (*Activities).attemptAs

// AttemptBatchAs is AttemptBatch in the name of a workflow run.
var AttemptBatchAs = (*Activities).attemptBatchAs

// Busy is the error of an attempt that found no place.
var Busy = busy

// WriteJournal writes a result and returns the function to call once it is recorded.
var WriteJournal = (*Journal).write

// OpenStream returns a stream that this process has, without its activity.
func OpenStream(ctx context.Context, a *Activities, id, run uuid.UUID) (*Stream, error) {
	s := newStream(a, id, run, "stream:"+id.String())
	if err := s.own(ctx); err != nil {
		return nil, err
	}
	a.Streams.add(s)
	return s, nil
}

// Busy reports whether the stream has attempts under way.
func (s *Stream) Busy() bool { return s.busy() }

// Lapse makes the stream's last renewal that old.
func (s *Stream) Lapse(by time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.renewed = s.renewed.Add(-by)
}

// Renew renews the stream as each tick does, and attempts its batches of that age that it does not have.
func (s *Stream) Renew(ctx context.Context, age time.Duration) {
	s.renew(ctx)
	s.attemptOrphans(ctx, age)
}

// Close stops the stream's beginning of attempts, as the end of its worker does.
func (s *Stream) Close() { s.stopBegins() }

// Counts returns what the stream attempted.
func (s *Stream) Counts() BatchResult {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.result.clone()
}

// Age makes the part that much older.
func (p *StreamPart) Age(by time.Duration) { p.since = p.since.Add(-by) }

// RecordUntilDone records an attempt that a workflow made.
var RecordUntilDone = (*Activities).recordUntilDone
