package activities

import (
	"context"
	"sync"
	"time"

	"github.com/google/uuid"

	"greenroom/db"
)

// hooks are the webhooks of a batch, read together and again when they have aged, so that no attempt goes out on an old row.
type hooks struct {
	a  *Activities
	mu sync.Mutex
	at time.Time
	m  map[uuid.UUID]*db.Webhook
}

func (b *batch) loadHooks(ctx context.Context) (*hooks, error) {
	h := &hooks{a: b.Activities, m: make(map[uuid.UUID]*db.Webhook, len(b.byHook))}
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
	m, err := db.LoadWebhooks(ctx, h.a.DB, ids)
	if err == nil {
		h.m, h.at = m, at
	}
	return err
}

// get returns a webhook that may be sent to now, or nil: its circuit is open, or it is inactive or deleted, or that cannot be
// read.
func (h *hooks) get(ctx context.Context, id uuid.UUID) *db.Webhook {
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
