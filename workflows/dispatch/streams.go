package dispatch

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"

	"greenroom/activities/deliver"
	"greenroom/db/delivery"
	"greenroom/db/pg"
	"greenroom/workflows"
)

// streamStarts paces the starts of streams. A stream that was started may begin in another process: its worker got the
// activity, or this one's version is not the current one.
type streamStarts struct {
	next   time.Time
	pause  time.Duration
	opened int // streams of this process at the last start
}

const (
	streamPauseMin = 250 * time.Millisecond
	streamPauseMax = 5 * time.Second
)

// due reports whether a stream may be started. The pause between starts doubles until one begins in this process.
func (s *streamStarts) due(opened int, now time.Time) bool {
	if opened > s.opened {
		s.pause = 0
	}
	if now.Before(s.next) && s.pause > 0 {
		return false
	}
	s.pause = min(streamPauseMax, max(streamPauseMin, 2*s.pause))
	s.next, s.opened = now.Add(s.pause), opened
	return true
}

// toStreams divides deliveries among the process's streams, and starts another stream when one is needed. rest have no
// stream.
func (d *Dispatcher) toStreams(
	ctx context.Context, together []delivery.QueuedDelivery,
) (parts []*deliver.StreamPart, rest []delivery.QueuedDelivery) {
	if d.o.Streams == nil || len(together) == 0 {
		return nil, together
	}
	parts, rest, wanted := d.o.Streams.Split(together)
	if wanted && d.streamStarts.due(d.o.Streams.Opened(), time.Now()) {
		go d.startStream(context.WithoutCancel(ctx))
	}
	return parts, rest
}

// express takes deliveries for the process's stream in one statement, without a transaction. ok is false when the round
// must be made as usual: deliveries do not share workflows now, no stream can take all, an endpoint is slow, or the
// last round saw deliveries that are not ordinary first attempts.
func (d *Dispatcher) express(ctx context.Context) (r Result, ok bool, err error) {
	if d.extraordinary || !d.pacer.shares() {
		return r, false, nil
	}
	quotas := d.o.Endpoints.Quotas(true)
	if quotas.Slow {
		return r, false, nil
	}
	p := d.o.Streams.Single()
	if p == nil {
		return r, false, nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), roundLimit)
	defer cancel()
	b := delivery.Batch{ID: pg.NewID(), Stream: uuid.NullUUID{UUID: p.ID(), Valid: true}}
	t, others, err := delivery.TakeForStream(ctx, d.o.DB, delivery.TakeOptions{
		Limit: quotas.Round, PerFlow: quotas.Flow, Room: quotas.Webhook, After: d.pacer.next,
	}, b)
	d.extraordinary = others || err != nil
	if err == nil {
		rest := p.Fill(t.Ready)
		d.extraordinary = d.extraordinary || len(rest) > 0 // the next round takes them
		err = delivery.LeaveBatch(ctx, d.o.DB, b.ID, 0, rest)
	}
	if err != nil { // the stream attempts a batch that was stored later
		p.Drop()
		return r, true, fmt.Errorf("dispatch: %w", err)
	}
	p.Attempt(b.ID)
	more := d.observe(&t, quotas)
	return Result{Taken: len(p.Deliveries), more: more || d.extraordinary}, true, nil
}

// addToStreams stores a batch for each part in the transaction that takes its deliveries.
func addToStreams(ctx context.Context, tx bun.Tx, parts []*deliver.StreamPart) (ids []uuid.UUID, err error) {
	for _, p := range parts {
		b := delivery.Batch{ID: pg.NewID(), Stream: uuid.NullUUID{UUID: p.ID(), Valid: true}}
		for _, q := range p.Deliveries {
			b.Deliveries = append(b.Deliveries, q.DeliveryID)
		}
		ids = append(ids, b.ID)
		if len(b.Deliveries) == 0 {
			continue
		}
		if err := delivery.AddBatch(ctx, tx, b); err != nil {
			return nil, err
		}
	}
	return ids, nil
}

// startStream starts a stream. The eager start and the eager activity make it begin in this process, if they succeed.
func (d *Dispatcher) startStream(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	id := pg.NewID()
	_, err := d.o.Client.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID: workflows.DeliverStreamWorkflowID(id), TaskQueue: d.o.TaskQueue, EnableEagerStart: !d.o.Versioned,
		WorkflowIDReusePolicy: enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE,
		StaticSummary:         "first attempts as deliveries arrive",
		StaticDetails:         d.linkTo("/deliveries"),
	}, workflows.DeliverStream, workflows.DeliverStreamInput{StreamID: id})
	if err != nil {
		d.o.Logger.WarnContext(ctx, "a stream cannot be started: deliveries share workflows batch by batch", "error", err)
	}
}
