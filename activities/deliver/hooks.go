package deliver

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/google/uuid"

	"greenroom/db/delivery"
)

// hooks are the webhooks of a batch and its lease, read together and again when they have aged, so that no attempt
// goes out on an old row, nor for a batch that another worker has taken over.
type hooks struct {
	a     *Activities
	batch uuid.UUID
	lease int // 0: there is no such batch
	mu    sync.Mutex
	at    time.Time
	m     map[uuid.UUID]*delivery.Webhook
	lost  bool // the lease
}

func (b *batch) loadHooks(ctx context.Context) (*hooks, error) {
	h := &hooks{
		a:     b.Activities,
		batch: b.in.BatchID,
		lease: b.lease,
		m:     make(map[uuid.UUID]*delivery.Webhook, len(b.byHook)),
	}
	for id := range b.byHook {
		h.m[id] = nil
	}
	return h, h.read(ctx)
}

func (h *hooks) read(ctx context.Context) error {
	if len(h.m) == 0 {
		return nil
	}
	ids := make([]uuid.UUID, 0, len(h.m))
	for id := range h.m {
		ids = append(ids, id)
	}
	at := time.Now()
	if h.lease > 0 {
		holds, err := delivery.HoldsBatch(ctx, h.a.DB, h.batch, h.lease)
		if h.lost = err == nil && !holds; err != nil || h.lost {
			return errors.Join(err, errLeaseLost)
		}
	}
	m, err := delivery.LoadWebhooks(ctx, h.a.DB, ids)
	if err == nil {
		h.m, h.at = m, at
	}
	return err
}

// errLeaseLost: another worker is at the batch.
var errLeaseLost = errors.New("another worker has taken the batch over")

// isLost reports whether the lease was found lost: what is left is the other worker's.
func (h *hooks) isLost() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.lost
}

// get returns a webhook that may be sent to now, or nil: its circuit is open, or it is inactive or deleted, or that
// cannot be read.
func (h *hooks) get(ctx context.Context, id uuid.UUID) *delivery.Webhook {
	h.mu.Lock()
	defer h.mu.Unlock()
	if time.Since(h.at) > hooksFresh && h.read(ctx) != nil {
		return nil
	}
	w := h.m[id]
	if w == nil || w.DeletedAt != nil || !w.IsActive || w.CircuitOpenedAt != nil {
		return nil
	}
	return w
}

// stale makes the next get read again.
func (h *hooks) stale(uuid.UUID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.at = time.Time{}
}
