package dispatch

import (
	"context"
	"slices"
	"sync"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/db/delivery"
)

// blockedPage is how many deliveries of a blocked webhook are paused in one transaction. The webhook is locked during
// it: a Reset, and the records of attempts that are under way, wait for so long.
const blockedPage = 200

// blockedWebhooks are the blocked webhooks of which many deliveries wait in the queue. They are paused beside the
// rounds, a page of each webhook in turn, because the deliveries to all webhooks wait for a round.
type blockedWebhooks struct {
	mu   sync.Mutex
	ids  []uuid.UUID
	hint chan struct{}
}

func (b *blockedWebhooks) add(ids []uuid.UUID) {
	if len(ids) == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, id := range ids {
		if !slices.Contains(b.ids, id) {
			b.ids = append(b.ids, id)
		}
	}
	wake(b.hint)
}

func (b *blockedWebhooks) next() (id uuid.UUID, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.ids) == 0 {
		return uuid.Nil, false
	}
	id, b.ids = b.ids[0], b.ids[1:]
	return id, true
}

// pauseBlocked is a round of one page. A webhook of which fewer were left is done; what was locked is found by a later
// round of deliveries. So is a webhook whose page failed.
func (d *Dispatcher) pauseBlocked(ctx context.Context) (r Result, err error) {
	id, ok := d.blocked.next()
	if !ok {
		return Result{}, nil
	}
	err = d.inTx(ctx, func(ctx context.Context, tx bun.Tx) (err error) {
		r.Taken, err = delivery.PauseQueued(ctx, tx, id, blockedPage)
		return err
	})
	if err != nil {
		return Result{}, err
	}
	if r.Taken >= blockedPage {
		d.blocked.add([]uuid.UUID{id})
	}
	r.more = true // until no webhook is left
	return r, nil
}
