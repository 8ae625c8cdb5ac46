package deliver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"

	"greenroom/db/delivery"
	"greenroom/db/pg"
)

// StreamInput asks for the first attempts of a stream.
type StreamInput struct {
	StreamID uuid.UUID
	// Replay: an operator reset the workflow, so the deliveries that it attempted are sent again.
	Replay bool
}

// StreamResult counts the deliveries that a stream's activity attempted. Resent deliveries went back to the queue with
// a new generation, because an operator reset the workflow.
type StreamResult struct {
	BatchResult
	Resent int `json:",omitempty"`
}

// SignalStreamFlows is the signal with StreamFlows that a stream's activity sends to its workflow.
const SignalStreamFlows = "flows"

// StreamFlows are the webhooks and companies whose deliveries a stream attempts.
type StreamFlows struct{ Webhooks, Companies []string }

const (
	// StreamHeartbeatTimeout is how long after a worker died Temporal gives its stream to another. streamHeartbeatEvery
	// tolerates a lost heartbeat.
	StreamHeartbeatTimeout = 5 * time.Second
	streamHeartbeatEvery   = 2 * time.Second
	// streamTick is how often a stream renews its lease and checks whether it has to end.
	streamTick = time.Second
	// streamOrphanAfter is the age at which a batch that this process does not have was lost between its commit and the
	// hand-over.
	streamOrphanAfter = 5 * time.Second
)

// Stream makes first attempts as deliveries arrive: the dispatcher of the same process hands it one batch after the
// other, without a round trip to Temporal.
type Stream struct {
	*Activities
	id, run  uuid.UUID
	workflow string
	lease    int
	// begins ends when the stream must not begin attempts any more. Attempts under way continue.
	begins     context.Context //nolint:containedctx // it is that of the stream, not of a call
	stopBegins context.CancelFunc
	began      time.Time

	mu      sync.Mutex
	renewed time.Time // zero: the lease is lost
	used    time.Time // when the last deliveries were given
	given   int       // deliveries
	// first and last bound the ids of the given deliveries.
	first, last uuid.UUID
	// handing counts rounds of the dispatcher that may still hand a batch over. open are the batches under way, finished
	// those that the next renewal deletes.
	handing  int
	open     map[uuid.UUID]bool
	finished []uuid.UUID
	flows    map[delivery.Flow]bool
	reported int // how many flows the workflow knows
	result   BatchResult
}

// AttemptStream makes the first attempts of a stream until it is no longer used, the worker stops, or the workflow
// ends. When a worker died, a retry on another worker attempts what the stream was given and is not recorded; new
// deliveries go to that worker's own streams.
//
// PostgreSQL decides who has a stream (delivery.LeaseStream): while Temporal is unavailable the stream continues.
func (a *Activities) AttemptStream(ctx context.Context, in StreamInput) (StreamResult, error) {
	info := activity.GetInfo(ctx)
	run, err := uuid.Parse(info.WorkflowExecution.RunID)
	if err != nil {
		return StreamResult{}, fmt.Errorf("read run id: %w", err)
	}
	s := newStream(a, in.StreamID, run, info.WorkflowExecution.ID)
	defer s.stopBegins()
	ctx, stop := s.heartbeat(ctx)
	defer stop(nil)
	if err := s.own(ctx); err != nil {
		return StreamResult{}, err
	}
	resent := 0
	if in.Replay { // the run that was reset has ended by now
		if resent, err = s.resend(ctx); err != nil {
			return StreamResult{}, err
		}
	}
	s.attemptOrphans(ctx, 0)
	if !in.Replay && info.Attempt == 1 && a.Streams != nil {
		a.Streams.add(s)
		s.serve(ctx)
		a.Streams.remove(s)
	}
	s.drain(ctx)
	res, err := s.end(ctx)
	if res.Resent = resent; stopped(ctx) && isGone(s.beat(context.WithoutCancel(ctx))) {
		return res, activity.ErrResultPending // Temporal knows no such activity: reporting it would hold up the worker's end
	}
	return res, err
}

func newStream(a *Activities, id, run uuid.UUID, workflow string) *Stream {
	s := &Stream{
		Activities: a, id: id, run: run, workflow: workflow, began: time.Now(), used: time.Now(),
		open: map[uuid.UUID]bool{}, flows: map[delivery.Flow]bool{},
	}
	s.begins, s.stopBegins = context.WithCancel(context.Background())
	return s
}

// stopped reports whether the worker stops or the activity was canceled, because its workflow has ended or Temporal has
// given it to another worker.
func stopped(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return true
	case <-activity.GetWorkerStopChannel(ctx):
		return true
	default:
		return false
	}
}

// own takes the lease. It waits while another worker renews it.
func (s *Stream) own(ctx context.Context) error {
	for {
		at := time.Now()
		lease, err := delivery.LeaseStream(ctx, s.DB, s.id)
		if err == nil {
			s.lease, s.renewed = lease, at
			return nil
		}
		if !errors.Is(err, pg.ErrConflict) {
			return err
		}
		if pause(ctx, streamTick); stopped(ctx) {
			return errStreamInterrupted
		}
	}
}

// errStreamInterrupted makes Temporal give the stream to another worker.
var errStreamInterrupted = errors.New("the worker stopped before all deliveries of the stream were recorded")

// serve renews the lease while the stream is used.
func (s *Stream) serve(ctx context.Context) {
	t := time.NewTicker(streamTick)
	defer t.Stop()
	for tick := 1; ; tick++ {
		select {
		case <-ctx.Done():
			return
		case <-activity.GetWorkerStopChannel(ctx):
			return
		case <-t.C:
		}
		s.renew(ctx)
		s.reportFlows(ctx)
		if tick%int(streamOrphanAfter/streamTick) == 0 {
			s.attemptOrphans(ctx, streamOrphanAfter)
		}
		if s.isLost() || s.Streams.retire(s, time.Now()) {
			return
		}
	}
}

// drain renews the lease until no batch is under way.
func (s *Stream) drain(ctx context.Context) {
	for tried := time.Now(); s.busy(); {
		if stopped(ctx) {
			s.stopBegins()
		}
		pause(context.WithoutCancel(ctx), streamTick/20)
		if time.Since(tried) > streamTick && !s.isLost() {
			tried = time.Now()
			s.renew(ctx)
		}
	}
}

// end gives the stream up. It fails when deliveries of the stream are left, which another worker then attempts.
func (s *Stream) end(ctx context.Context) (StreamResult, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTry)
	defer cancel()
	if s.isLost() {
		return StreamResult{}, errLeaseLost
	}
	s.renew(ctx)
	left, err := delivery.StreamBatches(ctx, s.DB, s.id, 0)
	if err != nil {
		return StreamResult{}, err
	}
	if len(left) > 0 {
		return StreamResult{}, errStreamInterrupted
	}
	r := s.renewal()
	r.End = true
	if err := delivery.RenewStream(ctx, s.DB, r); err != nil {
		return StreamResult{}, fmt.Errorf("end stream: %w", err)
	}
	return StreamResult{BatchResult: s.result}, nil
}

// resend sends the deliveries of the workflow's earlier runs again.
func (s *Stream) resend(ctx context.Context) (resent int, err error) {
	for after := uuid.Nil; ; {
		last, n, err := delivery.ResendStream(ctx, s.DB, s.id, s.workflow, after, resendPage)
		if resent += n; err != nil || n < resendPage {
			return resent, err
		}
		if s.sinceRenewed() > streamTick {
			s.renew(ctx)
		}
		after = last
	}
}

// resendPage bounds one transaction.
const resendPage = 500

// attempt attempts a batch that is marked as under way. taken are its deliveries when it was just committed, and since
// is when the dispatcher began to take them.
func (s *Stream) attempt(id uuid.UUID, taken []delivery.QueuedDelivery, since time.Time) {
	b := &batch{
		Activities: s.Activities, in: BatchInput{BatchID: id}, taken: taken, takenAt: since,
		run: s.run, workflow: s.workflow, stream: s,
	}
	err := b.makeOrRecover(s.begins)
	if err != nil {
		err = s.abandon(b, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, id)
	s.result.add(&b.result)
	if err == nil {
		s.finished = append(s.finished, id)
	}
}

// abandon gives each delivery of a batch with an internal fault a workflow of its own: trying the batch again could
// repeat the fault, and its requests, without an end. While the database is unavailable, or when the lease is lost, the
// batch stays, and is attempted again as an orphan.
func (s *Stream) abandon(b *batch, fault error) error {
	id := b.in.BatchID
	if errors.Is(fault, errLeaseLost) || errors.Is(fault, pg.ErrConflict) || pg.IsUnavailable(fault) {
		s.Logger.Warn("a batch of a stream is attempted again", "batch_id", id, "error", fault)
		return fault
	}
	err := delivery.AbandonLeasedBatch(context.Background(), s.DB, id, b.lease)
	s.Logger.Error("a batch of a stream is abandoned: its deliveries get their own workflows", "batch_id", id,
		"error", errors.Join(fault, err))
	return err
}

// makeOrRecover returns a panic as an error.
func (b *batch) makeOrRecover(begins context.Context) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v\n%s", r, debug.Stack())
		}
	}()
	return b.make(context.Background(), begins)
}

// attemptOrphans attempts the stream's batches of that age that this process does not have: those of an earlier owner,
// those whose commit succeeded although its answer was lost, and those that failed.
func (s *Stream) attemptOrphans(ctx context.Context, age time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, delivery.StreamRenewWithin/2)
	defer cancel()
	batches, err := delivery.StreamBatches(ctx, s.DB, s.id, age)
	if err != nil {
		s.Logger.WarnContext(ctx, "a stream cannot look for its batches yet", "error", err)
		return
	}
	for _, b := range batches {
		if s.take(b) {
			go s.attempt(b.ID, nil, time.Time{})
		}
	}
}

// renew renews the lease and deletes the batches that are finished. While PostgreSQL is unavailable the stream stops
// beginning attempts after delivery.StreamRenewWithin.
func (s *Stream) renew(ctx context.Context) {
	at, r := time.Now(), s.renewal()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), delivery.StreamRenewWithin)
	defer cancel()
	err := delivery.RenewStream(ctx, s.DB, r)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case errors.Is(err, pg.ErrConflict):
		s.renewed = time.Time{}
		s.Logger.WarnContext(ctx, "another worker has taken a stream over", "workflow_id", s.workflow)
	case err != nil:
		s.Logger.WarnContext(ctx, "a stream cannot renew its lease yet", "error", err)
	default:
		s.renewed, s.finished = at, s.finished[len(r.Finished):]
	}
}

func (s *Stream) renewal() delivery.StreamRenewal {
	s.mu.Lock()
	defer s.mu.Unlock()
	return delivery.StreamRenewal{
		ID: s.id, Lease: s.lease, Finished: s.finished[:len(s.finished):len(s.finished)], First: s.first, Last: s.last,
	}
}

// holds reports whether the stream may begin attempts: no other worker can have taken it over.
func (s *Stream) holds() bool { return s.sinceRenewed() < delivery.StreamRenewWithin }

func (s *Stream) sinceRenewed() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return elapsed(s.renewed)
}

// elapsed is time.Since with the time for which the machine was suspended, which shows on the clock of the day alone.
func elapsed(since time.Time) time.Duration {
	return max(time.Since(since), time.Now().Round(0).Sub(since.Round(0)))
}

func (s *Stream) isLost() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.renewed.IsZero()
}

func (s *Stream) busy() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.handing > 0 || len(s.open) > 0
}

// take marks a batch as under way. It is false when it is already, or its attempts were recorded.
func (s *Stream) take(b delivery.Batch) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open[b.ID] || slices.Contains(s.finished, b.ID) {
		return false
	}
	s.open[b.ID] = true
	for _, id := range b.Deliveries {
		s.note(id)
	}
	return true
}

// note counts a delivery that the stream was given, and widens the range of their ids. The caller holds mu.
func (s *Stream) note(id uuid.UUID) {
	if s.first == uuid.Nil || bytes.Compare(id[:], s.first[:]) < 0 {
		s.first = id
	}
	if bytes.Compare(id[:], s.last[:]) > 0 {
		s.last = id
	}
	s.given++
	s.used = time.Now()
}

// heartbeat sends the counts with each heartbeat: the Temporal UI shows them while the stream runs. The returned
// context is canceled when Temporal answers that the activity is no longer this worker's. A Temporal that does not
// answer is not a reason to end, unlike for the SDK's own heartbeats.
func (s *Stream) heartbeat(ctx context.Context) (context.Context, context.CancelCauseFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		for {
			pause(ctx, streamHeartbeatEvery)
			if ctx.Err() != nil {
				return
			}
			if err := s.beat(ctx); isGone(err) || temporal.IsCanceledError(err) {
				cancel(err)
			}
		}
	}()
	return ctx, cancel
}

// beat sends one heartbeat.
func (s *Stream) beat(ctx context.Context) error {
	s.mu.Lock()
	details := s.result.clone()
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, streamHeartbeatEvery)
	defer cancel()
	return activity.GetClient(ctx).RecordActivityHeartbeat(ctx, activity.GetInfo(ctx).TaskToken, details)
}

// isGone reports whether Temporal does not know the activity: its workflow has ended, another worker has it, or
// Temporal's store came back empty.
func isGone(err error) bool {
	var none *serviceerror.NotFound
	var noNamespace *serviceerror.NamespaceNotFound
	return errors.As(err, &none) || errors.As(err, &noNamespace)
}

// reportFlows tells the workflow the webhooks and companies of the stream, for its search attributes.
func (s *Stream) reportFlows(ctx context.Context) {
	s.mu.Lock()
	known := len(s.flows)
	if known == s.reported {
		s.mu.Unlock()
		return
	}
	var f StreamFlows
	seen := map[uuid.UUID]bool{uuid.Nil: true}
	for flow := range s.flows {
		if !seen[flow.Webhook] {
			f.Webhooks = append(f.Webhooks, flow.Webhook.String())
		}
		if !seen[flow.Company] {
			f.Companies = append(f.Companies, flow.Company.String())
		}
		seen[flow.Webhook], seen[flow.Company] = true, true
	}
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, streamTick)
	defer cancel()
	err := activity.GetClient(ctx).SignalWorkflow(ctx, s.workflow, s.run.String(), SignalStreamFlows, f)
	if err != nil { // the next tick tries again
		s.Logger.DebugContext(ctx, "a stream cannot report its webhooks", "error", err)
		return
	}
	s.mu.Lock()
	s.reported = known
	s.mu.Unlock()
}
