package delivery

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/db/catalog"
	"greenroom/db/pg"
)

// DisableAbandoned disables up to limit webhooks whose circuit has been open for longer than openFor, each with the
// event webhook.disabled, and returns their ids. Their deliveries stay paused until the webhook is active again or
// retention ends them. Resetting the circuit makes the webhook active again.
func DisableAbandoned(ctx context.Context, db bun.IDB, openFor time.Duration, limit int) (ids []uuid.UUID, err error) {
	err = pg.InTx(ctx, db, func(ctx context.Context, tx bun.Tx) error {
		var hooks []Webhook
		err := tx.NewRaw(`UPDATE webhooks SET is_active = false, disabled_reason = ?0, updated_at = now() WHERE id IN (
			SELECT id FROM webhooks WHERE `+openCircuit+` AND circuit_opened_at < now() - ?1 * interval '1 ms' AND is_active
			ORDER BY id LIMIT ?2 FOR UPDATE SKIP LOCKED
		) RETURNING *`, disabledReason(openFor), openFor.Milliseconds(), limit).Scan(ctx, &hooks)
		if err != nil || len(hooks) == 0 {
			return err
		}
		events := make([]*Event, len(hooks))
		for i := range hooks {
			w := &hooks[i]
			ids = append(ids, w.ID)
			data := webhookDisabled{w.named(), causeCircuit, *w.DisabledReason, w.CircuitOpenedAt}
			if events[i], err = eventAbout(w, catalog.WebhookDisabled, data); err != nil {
				return err
			}
		}
		err = recordOperational(ctx, tx, events)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("disable abandoned webhooks: %w", err)
	}
	return ids, nil
}

// openCircuit is the condition of the index of open circuits.
const openCircuit = `(CASE WHEN circuit_opened_at IS NOT NULL AND deleted_at IS NULL
  THEN GREATEST(reconcile_at, circuit_opened_at) END) IS NOT NULL`

// OpenCircuits counts the webhooks whose circuit is open, up to limit.
func OpenCircuits(ctx context.Context, db bun.IDB, limit int) (n int, err error) {
	err = db.NewRaw("SELECT count(*) FROM (SELECT 1 FROM webhooks WHERE "+openCircuit+" LIMIT ?) w", limit).Scan(ctx, &n)
	if err != nil {
		return 0, fmt.Errorf("count open circuits: %w", err)
	}
	return n, nil
}

func disabledReason(openFor time.Duration) string {
	return fmt.Sprintf("the circuit was open for more than %d hours", int(openFor.Hours()))
}
