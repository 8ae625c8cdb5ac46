package deliver

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/google/uuid"

	"greenroom/db/delivery"
)

// hooks are the webhooks of a batch, and its lease. They are read again when they are older than hooksMaxAge, so that
// no attempt uses a stale row, or is made for a batch that another worker has taken over.
type hooks struct {
	a     *Activities
	batch uuid.UUID
	lease int // 0: the batch no longer exists, or a stream made it
	// stream, when not nil, must hold its lease too.
	stream *Stream
	mu     sync.Mutex
	at     time.Time
	m      map[uuid.UUID]*delivery.Webhook
	lost   bool // the lease
}

func (b *batch) loadHooks(ctx context.Context) (*hooks, error) {
	h := &hooks{
		a: b.Activities, batch: b.in.BatchID, lease: b.lease, stream: b.stream,
		m: make(map[uuid.UUID]*delivery.Webhook, len(b.byHook)),
	}
	for id := range b.byHook {
		h.m[id] = nil
	}
	if b.stream == nil || len(b.taken) == 0 {
		return h, h.read(ctx)
	}
	if err := h.checkStream(); err != nil {
		return h, err
	}
	versions := make(map[uuid.UUID]string, len(h.m))
	for i := range b.taken {
		versions[b.taken[i].WebhookID] = b.taken[i].WebhookVersion()
	}
	if b.known.fill(h.m, versions) {
		h.at = b.takenAt
		return h, nil
	}
	err := h.read(ctx)
	if err == nil {
		b.known.put(h.m, versions)
	}
	return h, err
}

// knownHooks are the webhooks that were read last, each with its version then: a batch need not read what has not
// changed. Nothing modifies them.
type knownHooks struct {
	mu sync.Mutex
	m  map[uuid.UUID]knownHook
}

type knownHook struct {
	version string
	webhook *delivery.Webhook
}

// knownMost bounds the memory, at some 2 KiB for each.
const knownMost = 10_000

// fill sets the values of m, whose keys are webhooks. It is false when one is not known in its version.
func (k *knownHooks) fill(m map[uuid.UUID]*delivery.Webhook, versions map[uuid.UUID]string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	for id := range m {
		known := k.m[id]
		if known.webhook == nil || known.version != versions[id] {
			return false
		}
		m[id] = known.webhook
	}
	return true
}

// put notes rows that were read when they had these versions or later ones.
func (k *knownHooks) put(m map[uuid.UUID]*delivery.Webhook, versions map[uuid.UUID]string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.m == nil || len(k.m)+len(m) > knownMost {
		k.m = map[uuid.UUID]knownHook{}
	}
	for id, w := range m {
		k.m[id] = knownHook{versions[id], w}
	}
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
	if err := h.checkStream(); err != nil {
		return err
	}
	if h.lease > 0 || h.stream != nil && !h.at.IsZero() {
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

// checkStream returns errLeaseLost when another worker may have the stream.
func (h *hooks) checkStream() error {
	if h.lost = h.stream != nil && !h.stream.holds(); h.lost {
		return errLeaseLost
	}
	return nil
}

// errLeaseLost means that another worker has the batch.
var errLeaseLost = errors.New("another worker has taken the batch over")

// isLost reports whether the lease is lost: another worker makes the remaining attempts.
func (h *hooks) isLost() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.lost
}

// get returns a webhook that may receive deliveries now. It is nil when the webhook is deleted or inactive, its circuit
// is open, or the rows cannot be read.
func (h *hooks) get(ctx context.Context, id uuid.UUID) *delivery.Webhook {
	h.mu.Lock()
	defer h.mu.Unlock()
	if time.Since(h.at) > hooksMaxAge && h.read(ctx) != nil {
		return nil
	}
	w := h.m[id]
	if w == nil || w.DeletedAt != nil || !w.IsActive || w.CircuitOpenedAt != nil {
		return nil
	}
	return w
}

// expire makes the next get read the rows again.
func (h *hooks) expire() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.at = time.Time{}
}
