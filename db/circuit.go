package db

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// CircuitState is what the Circuit workflow decides on.
type CircuitState struct {
	Deleted  bool
	Active   bool
	OpenedAt *time.Time
	// Recovery is the webhook's own way back, "" for the configured one.
	Recovery string
	// RateLimit is the webhook's own bound of deliveries per second, 0 for none.
	RateLimit int
	// Waiting is how many deliveries are paused, counted up to WaitingLimit + 1.
	Waiting int
	// CompanyID is the webhook's; nil for one of the platform.
	CompanyID *uuid.UUID
}

// WaitingLimit bounds the count of the deliveries that wait behind a circuit, so that a look never reads a long backlog.
const WaitingLimit = 1000

// LoadCircuit reads the state of a webhook's circuit.
func LoadCircuit(ctx context.Context, db bun.IDB, webhook uuid.UUID) (CircuitState, error) {
	var s CircuitState
	err := db.NewRaw(`SELECT deleted_at IS NOT NULL, is_active, circuit_opened_at, COALESCE(circuit_recovery, ''), rate_limit, company_id,
		(SELECT count(*) FROM (SELECT 1 FROM deliveries WHERE webhook_id = ?0 AND status = 'paused' LIMIT ?1) waiting)
		FROM webhooks WHERE id = ?0`, webhook, WaitingLimit+1).
		Scan(ctx, &s.Deleted, &s.Active, &s.OpenedAt, &s.Recovery, &s.RateLimit, &s.CompanyID, &s.Waiting)
	if err != nil {
		return s, fmt.Errorf("load circuit: %w", translate(err))
	}
	return s, nil
}

// ResetCircuit closes a webhook's circuit, forgets its failures and makes it active again, and has its paused deliveries
// released at a ramp. Resetting a closed circuit is allowed and changes only updatedAt. It returns the row as it is then.
func ResetCircuit(ctx context.Context, tx bun.Tx, id uuid.UUID) (*Webhook, error) {
	err := one(tx.ExecContext(ctx, `UPDATE webhooks SET consecutive_failures = 0, circuit_opened_at = NULL, is_active = true,
		disabled_reason = NULL, updated_at = clock_timestamp() WHERE id = ? AND deleted_at IS NULL`, id))
	if err != nil {
		return nil, fmt.Errorf("reset circuit: %w", err)
	}
	if err := AddCommand(ctx, tx, CircuitChanged, id, nil); err != nil {
		return nil, err
	}
	return GetWebhook(ctx, tx, id)
}

// ReleasePaused sends up to limit paused deliveries of a webhook on their way again, oldest first: those that a workflow
// holds are woken, the others go back to the queue. It releases nothing while the webhook is inactive or its circuit is
// open. With probe, one is released although the circuit is open.
func ReleasePaused(ctx context.Context, db bun.IDB, webhook uuid.UUID, limit int, probe bool) (n int, err error) {
	err = InTx(ctx, db, func(ctx context.Context, tx bun.Tx) error {
		blocked, err := lockBlocked(ctx, tx, []uuid.UUID{webhook})
		if err != nil || (blocked[webhook] && !probe) {
			return err
		}
		if probe {
			n, err = releaseProbe(ctx, tx, webhook)
		} else {
			err = tx.NewRaw(releaseSQL, webhook, limit, probe, string(DeliveryWake), uuid.Nil).Scan(ctx, &n)
		}
		if err != nil || n == 0 {
			return err
		}
		return notify(ctx, tx)
	})
	if err != nil {
		return 0, fmt.Errorf("release paused deliveries: %w", err)
	}
	return n, nil
}

// releaseSQL names the webhook as a range, so that the order is that of the index of live deliveries alone: for an equal
// webhook a planner without statistics may follow the ids of the day instead, and read past all that is not paused.
const releaseSQL = `
WITH picked AS (
  SELECT id FROM deliveries WHERE (webhook_id, id) >= (?0, ?4) AND webhook_id <= ?0 AND status = 'paused'
  ORDER BY webhook_id, id LIMIT ?1 FOR UPDATE SKIP LOCKED
), d AS (
  UPDATE deliveries d SET status = CASE WHEN d.workflow_id IS NULL THEN 'pending' ELSE 'retrying' END,
    next_attempt_at = CASE WHEN d.workflow_id IS NOT NULL THEN now() END, updated_at = now()
  FROM picked WHERE d.id = picked.id
  RETURNING d.id, d.company_id, d.workflow_id
), q AS (
  INSERT INTO delivery_queue (webhook_id, company_id, delivery_id, probe) SELECT ?0, COALESCE(company_id, ?4), id, ?2 FROM d WHERE workflow_id IS NULL
  ON CONFLICT DO NOTHING
), c AS (
  INSERT INTO commands (id, kind, subject_id, args)
  SELECT uuid_v7(), ?3, id, jsonb_build_object('probe', ?2::boolean) FROM d WHERE workflow_id IS NOT NULL
)
SELECT count(*) FROM d`
