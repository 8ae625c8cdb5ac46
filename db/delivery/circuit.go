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

// CircuitState is the input of the Circuit workflow's decisions.
type CircuitState struct {
	Deleted  bool
	Active   bool
	OpenedAt *time.Time
	// Recovery is the webhook's recovery mode, or "" for the configured one, which may depend on the Profile.
	Recovery string
	Profile  string
	// RateLimit is the webhook's limit of deliveries per second. 0 means no limit.
	RateLimit int
	// Waiting is how many deliveries are paused, counted up to WaitingLimit + 1.
	Waiting int
	// ToCancel: the webhook was deleted and still has live deliveries.
	ToCancel bool
	// CompanyID is the webhook's company, or nil for a webhook of the platform.
	CompanyID *uuid.UUID
}

// countForCircuit is the part of attemptSQL that updates the webhook of an attempt a: it counts failures in a row,
// opens the circuit at the threshold and closes it after a probe that succeeded. 410 and 429 do not count: 410 disables
// the webhook, and 429 is a rate limit, not an outage. A success does not write to a healthy webhook. The times that
// are now() mark what changed.
const countForCircuit = `UPDATE webhooks SET
    consecutive_failures = CASE
      WHEN a.outcome = 'succeeded' THEN 0
      WHEN a.counts THEN consecutive_failures + 1
      ELSE consecutive_failures END,
    failing_since = CASE WHEN a.counts AND consecutive_failures = 0 THEN now() ELSE failing_since END,
    failed_first = CASE
      WHEN a.outcome = 'succeeded' THEN 0
      WHEN a.counts AND ?attempt = 1 THEN failed_first + 1
      ELSE failed_first END,
    circuit_closed_at = CASE
      WHEN a.outcome = 'succeeded' AND ?probe AND circuit_opened_at IS NOT NULL THEN now()
      ELSE circuit_closed_at END,
    gone_at = CASE WHEN a.outcome = 'gone' AND is_active THEN now() ELSE gone_at END,
    circuit_opened_at = CASE
      WHEN a.outcome = 'succeeded' AND ?probe THEN NULL
      WHEN a.counts AND circuit_opened_at IS NULL AND consecutive_failures + 1 >= ?threshold
        AND COALESCE(failing_since, now()) <= clock_timestamp() - ?span * interval '1 us' THEN now()
      ELSE circuit_opened_at END,
    is_active = is_active AND a.outcome <> 'gone',
    disabled_reason = CASE
      WHEN a.outcome = 'gone' AND is_active THEN '` + goneReason + `'
      ELSE disabled_reason END,
    updated_at = CASE WHEN a.outcome = 'gone' OR ?probe THEN now() ELSE updated_at END
  FROM (SELECT outcome, outcome IN ('retry', 'failed') AND ?status_code IS DISTINCT FROM 429 AS counts FROM a) a
  WHERE id = ?webhook AND ?counts
    AND (a.counts OR a.outcome = 'gone'
      OR a.outcome = 'succeeded' AND consecutive_failures > 0 AND (circuit_opened_at IS NULL OR ?probe))`

// WaitingLimit limits the count of paused deliveries, so that LoadCircuit never reads a long backlog.
const WaitingLimit = 1000

// LoadCircuit reads the state of a webhook's circuit. Without statistics the planner would sort the whole backlog.
func LoadCircuit(ctx context.Context, db bun.IDB, webhook uuid.UUID) (CircuitState, error) {
	var s CircuitState
	err := pg.InTx(ctx, db, func(ctx context.Context, tx bun.Tx) error {
		if err := planByIndex(ctx, tx); err != nil {
			return err
		}
		return tx.NewRaw(`SELECT deleted_at IS NOT NULL, is_active, circuit_opened_at, COALESCE(circuit_recovery, ''),
		rate_limit, company_id, profile,
		(SELECT count(*) FROM (SELECT id `+pausedOf+` LIMIT ?3) waiting),
		deleted_at IS NOT NULL AND (SELECT id `+liveOf+` LIMIT 1) IS NOT NULL
		FROM webhooks WHERE id = ?0`, webhook, uuid.Nil, uuid.Max, WaitingLimit+1).
			Scan(ctx, &s.Deleted, &s.Active, &s.OpenedAt, &s.Recovery, &s.RateLimit, &s.CompanyID, &s.Profile,
				&s.Waiting, &s.ToCancel)
	})
	if err != nil {
		return s, fmt.Errorf("load circuit: %w", pg.Translate(err))
	}
	return s, nil
}

// pausedOf and liveOf read the paused and all live deliveries of the webhook ?0, in the order of the index
// deliveries_live. ?1 and ?2 are the smallest and the greatest id. They ask for a range and its order because no other
// index provides both, so the planner has one choice whatever its statistics say. With an equality on the webhook it
// may follow the ids of a day instead and read all deliveries that are not live.
const (
	pausedOf = `FROM deliveries
  WHERE (live_webhook(status, webhook_id), status, id) >= (?0, 'paused', ?1)
    AND (live_webhook(status, webhook_id), status, id) <= (?0, 'paused', ?2) AND live_webhook(status, webhook_id) <= ?0
  ORDER BY live_webhook(status, webhook_id), status, id`
	liveOf = `FROM deliveries
  WHERE live_webhook(status, webhook_id) >= ?0 AND live_webhook(status, webhook_id) <= ?0
  ORDER BY live_webhook(status, webhook_id), status, id`
)

// ResetCircuit closes a webhook's circuit, sets its consecutive failures to 0 and activates it. The Circuit workflow
// then releases the paused deliveries at an increasing rate. Resetting a closed circuit is allowed, changes only
// updatedAt and makes no event. It returns the updated row. The caller decides whether a webhook may be activated that
// the platform deactivated.
func ResetCircuit(ctx context.Context, tx bun.Tx, id uuid.UUID) (*Webhook, error) {
	w, err := LockWebhook(ctx, tx, id)
	if err != nil {
		return nil, fmt.Errorf("reset circuit: %w", err)
	}
	err = pg.One(tx.ExecContext(ctx, `UPDATE webhooks SET consecutive_failures = 0, failed_first = 0,
		circuit_opened_at = NULL, is_active = true, disabled_reason = NULL, held_by_platform = false,
		updated_at = clock_timestamp() WHERE id = ?`, id))
	if err != nil {
		return nil, fmt.Errorf("reset circuit: %w", err)
	}
	if w.CircuitOpenedAt != nil {
		if err := recordAbout(ctx, tx, w, catalog.WebhookCircuitClosed, circuitClosed{w.named(), byReset}); err != nil {
			return nil, err
		}
	}
	if err := AddCommand(ctx, tx, CircuitChanged, id, nil); err != nil {
		return nil, err
	}
	return GetWebhook(ctx, tx, id)
}

// ReleasePaused releases up to limit paused deliveries of a webhook, oldest first. A delivery with a workflow is woken,
// the others go back to the queue. It releases nothing while the webhook is inactive or its circuit is open. With probe
// it releases one delivery although the circuit is open.
func ReleasePaused(ctx context.Context, db bun.IDB, webhook uuid.UUID, limit int, probe bool) (n int, err error) {
	err = pg.InTx(ctx, db, func(ctx context.Context, tx bun.Tx) error {
		blocked, err := lockBlockedWebhooks(ctx, tx, []uuid.UUID{webhook})
		if err != nil || (blocked[webhook] && !probe) {
			return err
		}
		if probe {
			if n, err = releaseProbe(ctx, tx, webhook); err != nil || n == 0 {
				return err
			}
			notify(tx)
			return nil
		}
		var ids []uuid.UUID
		err = tx.NewRaw("SELECT id "+pausedOf+" LIMIT ?3 FOR UPDATE SKIP LOCKED", webhook, uuid.Nil, uuid.Max, limit).
			Scan(ctx, &ids)
		if n = len(ids); err != nil || n == 0 {
			return err
		}
		if _, err := pg.Direct(tx).ExecContext(ctx, releaseSQL, ids, string(WakeDelivery), uuid.Nil); err != nil {
			return err
		}
		notify(tx)
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("release paused deliveries: %w", err)
	}
	return n, nil
}

// releaseSQL: $1 are the deliveries (locked and paused), $2 the command that wakes a workflow, $3 the zero id.
const releaseSQL = `
WITH d AS (
  UPDATE deliveries SET status = CASE WHEN workflow_id IS NULL THEN 'pending' ELSE 'retrying' END,
    next_attempt_at = CASE WHEN workflow_id IS NOT NULL THEN now() END, updated_at = now()
  WHERE id = ANY ($1::uuid[])
  RETURNING id, webhook_id, company_id, workflow_id
), q AS (
  INSERT INTO delivery_queue (webhook_id, company_id, delivery_id)
  SELECT webhook_id, COALESCE(company_id, $3::uuid), id FROM d WHERE workflow_id IS NULL
  ON CONFLICT DO NOTHING
)
INSERT INTO commands (id, kind, subject_id) SELECT uuid_v7(), $2, id FROM d WHERE workflow_id IS NOT NULL`
