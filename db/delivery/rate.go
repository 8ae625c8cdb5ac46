package delivery

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/db/pg"
)

// The rate limit of a webhook is a generic cell rate algorithm (GCRA) in table webhook_rates, so all workers share it.
// An attempt needs a token. Tokens come at the rate. Half a second's worth of unused ones, at least one, is kept. Only
// PostgreSQL's clock counts. A statement skips a locked row and never waits for it: a lock on one webhook must not hold
// connections or stop the deliveries to others.
//
// A dispatcher takes the tokens of queued first attempts (DealTokens); all other attempts take one each (TakeToken).
// While attempts wait for their turn, each of the two gets half of the rate.

const (
	// TokenLapse is how long a token may be used after a dispatcher took it. A later attempt would arrive together with
	// those of later tokens. Together with the tokens that are kept, at most rate * (W + 1) attempts begin in W seconds.
	TokenLapse = 500 * time.Millisecond
	// dealerLapse is how long a dispatcher that asked is the only one that gets a webhook's tokens. While deliveries wait
	// it asks every two seconds at least, at the lowest rate.
	dealerLapse = 3 * time.Second
)

// TokenRequest asks for tokens for the queued deliveries of a webhook, for Room deliveries at most.
type TokenRequest struct {
	Webhook uuid.UUID
	Room    int
}

// Deal is what a dispatcher may take now of a webhook's queued deliveries.
type Deal struct {
	Webhook uuid.UUID
	// Queued are the deliveries to take, the companies in turn. Those that were attempted before have no token: their
	// workflows take one for each attempt.
	Queued []QueueKey
	// Left: more are queued. Next is when to ask for them.
	Left bool
	Next time.Duration
}

// QueueKey identifies a row of the queue.
type QueueKey struct {
	Flow     Flow
	Delivery uuid.UUID
}

// DealTokens takes tokens for queued deliveries, as many as the limits allow now. It commits at once, because a row
// must not stay locked while the deliveries are taken with TakeDealt. The token of a delivery that is not taken is
// lost. Only one dispatcher at a time gets the tokens of a webhook. The result has no deal for a webhook that has no
// limit any more, or whose row is locked.
func DealTokens(ctx context.Context, db bun.IDB, dealer uuid.UUID, requests []TokenRequest) ([]Deal, error) {
	deals, err := dealTokens(ctx, db, dealer, requests)
	if err == nil && len(deals) < len(requests) {
		missing := withoutDeal(requests, deals)
		var created int64
		if created, err = createRates(ctx, db, missing); created > 0 {
			var more []Deal
			more, err = dealTokens(ctx, db, dealer, missing)
			deals = append(deals, more...)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("deal tokens: %w", err)
	}
	return deals, nil
}

func withoutDeal(requests []TokenRequest, deals []Deal) (missing []TokenRequest) {
	have := map[uuid.UUID]bool{}
	for _, d := range deals {
		have[d.Webhook] = true
	}
	for _, r := range requests {
		if !have[r.Webhook] {
			missing = append(missing, r)
		}
	}
	return missing
}

// createRates creates the rows of limited webhooks that have none.
func createRates(ctx context.Context, db bun.IDB, requests []TokenRequest) (created int64, err error) {
	ids := make([]uuid.UUID, len(requests))
	for i, r := range requests {
		ids[i] = r.Webhook
	}
	res, err := pg.Direct(db).ExecContext(ctx, `INSERT INTO webhook_rates (webhook_id)
		SELECT w.id FROM webhooks w WHERE w.id = ANY ($1::uuid[]) AND w.rate_limit > 0 ON CONFLICT DO NOTHING`, ids)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

func dealTokens(ctx context.Context, db bun.IDB, dealer uuid.UUID, requests []TokenRequest) (deals []Deal, err error) {
	webhooks, rooms := make([]uuid.UUID, len(requests)), make([]int, len(requests))
	for i, r := range requests {
		webhooks[i], rooms[i] = r.Webhook, r.Room
	}
	rows, err := pg.Direct(db).QueryContext(ctx, dealSQL.SQL, dealSQL.Args(pg.Args{
		"webhooks": webhooks, "rooms": rooms, "dealer": dealer, "lapse": dealerLapse.Milliseconds(),
	})...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // rows.Err reports its error
	for rows.Next() {
		var d Deal
		var next float64
		var company, id uuid.NullUUID
		if err := rows.Scan(&d.Webhook, &d.Left, &next, &company, &id); err != nil {
			return nil, err
		}
		if len(deals) == 0 || deals[len(deals)-1].Webhook != d.Webhook {
			d.Next = time.Duration(next * float64(time.Second))
			deals = append(deals, d)
		}
		if last := &deals[len(deals)-1]; id.Valid {
			flow := Flow{Webhook: d.Webhook, Company: company.UUID}
			last.Queued = append(last.Queued, QueueKey{Flow: flow, Delivery: id.UUID})
		}
	}
	return deals, rows.Err()
}

// dealSQL locks the rates (r), counts the tokens that this dispatcher may take of each (k, of a current limit c), walks
// the webhook's flows after the last one that got a token, one more than there are tokens, and picks as many
// deliveries of each. Tokens that cannot be divided equally stay for the next call.
//
// free are the tokens that exist. While attempts wait for their turn, half of those since the last deal are the
// dispatcher's. The small constant makes up for intervals that are rounded to microseconds.
var dealSQL = pg.Named(`
WITH RECURSIVE r AS MATERIALIZED (
  SELECT r.*, a.room FROM unnest(@webhooks::uuid[], @rooms::int[]) AS a (webhook_id, room) CROSS JOIN LATERAL (
    SELECT * FROM webhook_rates r WHERE r.webhook_id = a.webhook_id FOR UPDATE SKIP LOCKED
  ) r
), c AS MATERIALIZED (
  SELECT r.*, w.rate_limit, clock.t, interval '1 second' / w.rate_limit AS step,
    GREATEST(interval '1 second' / w.rate_limit, interval '500 ms') AS burst,
    CASE WHEN r.rate = w.rate_limit THEN r.last_turn END AS turn,
    COALESCE(r.dealer = @dealer::uuid OR r.asked_at < clock.t - @lapse::bigint * interval '1 ms', true) AS mine
  FROM r CROSS JOIN LATERAL (
    SELECT w.rate_limit FROM webhooks w WHERE w.id = r.webhook_id OFFSET 0
  ) w CROSS JOIN LATERAL (SELECT clock_timestamp() AS t OFFSET 0) clock
  WHERE w.rate_limit > 0
), k AS MATERIALIZED (
  SELECT c.*, CASE WHEN c.mine THEN GREATEST(0, LEAST(c.room,
    floor(extract(epoch FROM c.t + c.burst - GREATEST(c.tat, c.t)) * c.rate_limit + 0.001),
    CASE WHEN c.turn > c.t THEN floor(extract(epoch FROM c.t - c.dealt_at) * c.rate_limit / 2 + 0.001) END
  ))::int ELSE 0 END AS k FROM c
), flows (webhook_id, company_id, k, n) AS (
  SELECT k.webhook_id, first.company_id, k.k, 1 FROM k CROSS JOIN LATERAL (
    SELECT q.company_id FROM delivery_queue q
    WHERE q.webhook_id = k.webhook_id AND (q.webhook_id, q.company_id, q.delivery_id) > (k.webhook_id,
      COALESCE(k.after_company, '00000000-0000-0000-0000-000000000000'),
      CASE WHEN k.after_company IS NULL THEN '00000000-0000-0000-0000-000000000000'::uuid
        ELSE 'ffffffff-ffff-ffff-ffff-ffffffffffff' END)
    ORDER BY q.webhook_id, q.company_id, q.delivery_id LIMIT 1
  ) first WHERE k.k > 0
  UNION ALL
  SELECT flows.webhook_id, next.company_id, flows.k, flows.n + 1 FROM flows CROSS JOIN LATERAL (
    SELECT q.company_id FROM delivery_queue q
    WHERE q.webhook_id = flows.webhook_id AND (q.webhook_id, q.company_id) > (flows.webhook_id, flows.company_id)
    ORDER BY q.webhook_id, q.company_id LIMIT 1
  ) next WHERE flows.n <= flows.k
), picked AS MATERIALIZED (
  SELECT f.webhook_id, f.company_id, q.delivery_id, q.charged FROM (
    SELECT flows.*, count(*) OVER (PARTITION BY flows.webhook_id) AS found FROM flows
  ) f CROSS JOIN LATERAL (
    SELECT q.delivery_id, q.attempt <= 1 AND NOT q.redo AS charged, q.single FROM delivery_queue q
    WHERE q.webhook_id = f.webhook_id AND q.company_id = f.company_id
    ORDER BY q.webhook_id, q.company_id, q.delivery_id LIMIT f.k / LEAST(f.found, f.k)
  ) q WHERE f.n <= f.k AND NOT q.single
), dealt AS MATERIALIZED (
  SELECT k.webhook_id, k.t, k.step, k.burst, k.turn, k.rate_limit, k.mine, p.n, p.charged,
    CASE WHEN p.charged > 0 THEN GREATEST(k.tat, k.t) + p.charged * k.step ELSE k.tat END AS tat,
    CASE WHEN p.charged > 0 THEN k.t ELSE k.dealt_at END AS dealt_at,
    (SELECT f.company_id FROM flows f WHERE f.webhook_id = k.webhook_id AND f.n = k.k
      AND EXISTS (SELECT FROM flows more WHERE more.webhook_id = k.webhook_id AND more.n > k.k)) AS after_company
  FROM k CROSS JOIN LATERAL (
    SELECT count(*) AS n, count(*) FILTER (WHERE p.charged) AS charged FROM picked p WHERE p.webhook_id = k.webhook_id
  ) p
), stored AS (
  UPDATE webhook_rates r SET tat = d.tat, dealt_at = d.dealt_at, rate = d.rate_limit, last_turn = d.turn,
    dealer = @dealer, asked_at = d.t, after_company = d.after_company
  FROM dealt d WHERE r.webhook_id = d.webhook_id AND d.mine
)
SELECT d.webhook_id, COALESCE((SELECT true FROM delivery_queue q WHERE q.webhook_id = d.webhook_id
    ORDER BY q.webhook_id, q.company_id, q.delivery_id OFFSET d.n LIMIT 1), false),
  extract(epoch FROM CASE WHEN d.mine THEN GREATEST(d.t, GREATEST(d.tat, d.t) + d.step - d.burst,
    CASE WHEN d.turn > d.t THEN d.dealt_at + 2 * d.step END) - d.t
  ELSE r.asked_at + @lapse::bigint * interval '1 ms' - d.t END)::float8,
  p.company_id, p.delivery_id
FROM dealt d JOIN r ON r.webhook_id = d.webhook_id LEFT JOIN picked p ON p.webhook_id = d.webhook_id
ORDER BY d.webhook_id`)

// Token is the answer to TakeToken.
type Token struct {
	// Granted: the attempt may be made now. Otherwise it asks again after Wait.
	Granted bool
	Wait    time.Duration
	// Turn is when the attempt's turn comes, for the next call; nil when none was reserved.
	Turn *time.Time
}

// An attempt that waits for its turn asks again before it, because the limit may have changed: at first every
// askAgainMin, and every askAgainMax when many wait, so that all of a webhook's attempts together ask asksPerSecond
// times a second.
const (
	askAgainMin   = 5 * time.Second
	askAgainMax   = 30 * time.Second
	asksPerSecond = 20
)

// TakeToken takes a token for one attempt at a webhook with this limit. turn is the attempt's turn from its last call,
// nil when it has not asked before. Attempts get their tokens in the order of their turns.
func TakeToken(ctx context.Context, db bun.IDB, webhook uuid.UUID, rate int, turn *time.Time) (Token, error) {
	t, err := takeToken(ctx, db, webhook, rate, turn)
	if errors.Is(err, sql.ErrNoRows) {
		var created int64
		if created, err = createRates(ctx, db, []TokenRequest{{Webhook: webhook}}); created > 0 {
			t, err = takeToken(ctx, db, webhook, rate, turn)
		} else if err == nil {
			err = sql.ErrNoRows
		}
	}
	if errors.Is(err, sql.ErrNoRows) { // the row is locked
		wait := 100*time.Millisecond + time.Duration(rand.Int64N(int64(200*time.Millisecond))) //nolint:gosec // spreading
		return Token{Wait: wait, Turn: turn}, nil
	}
	if err != nil {
		return Token{}, fmt.Errorf("take token: %w", err)
	}
	waiting := t.Wait.Seconds() * float64(rate)
	most := time.Duration(waiting / asksPerSecond * float64(time.Second))
	t.Wait = min(t.Wait, max(askAgainMin, min(askAgainMax, most)))
	return t, nil
}

func takeToken(
	ctx context.Context, db bun.IDB, webhook uuid.UUID, rate int, turn *time.Time,
) (t Token, err error) {
	var wait sql.NullFloat64
	err = pg.Direct(db).QueryRowContext(ctx, tokenSQL.SQL, tokenSQL.Args(pg.Args{
		"webhook": webhook, "rate": rate, "turn": turn, "lapse": dealerLapse.Milliseconds(),
	})...).Scan(&t.Granted, &t.Turn, &wait)
	t.Wait = time.Duration(wait.Float64 * float64(time.Second))
	return t, err
}

// tokenSQL: ready is when there is a token. A turn that was reserved under another limit is void. An attempt without a
// turn is granted a token at once when no other waits; otherwise its turn follows the last one, at half the rate while
// first attempts wait too. An attempt whose turn has come, while there is no token, waits for the next token.
var tokenSQL = pg.Named(`
WITH r AS MATERIALIZED (
  SELECT * FROM webhook_rates WHERE webhook_id = @webhook::uuid FOR UPDATE SKIP LOCKED
), c AS MATERIALIZED (
  SELECT r.webhook_id, r.tat, r.asked_at, clock.t, interval '1 second' / @rate::int AS step,
    GREATEST(interval '1 second' / @rate, interval '500 ms') AS burst,
    CASE WHEN r.rate = @rate THEN r.last_turn END AS last_turn
  FROM r CROSS JOIN LATERAL (SELECT clock_timestamp() AS t OFFSET 0) clock
), o AS MATERIALIZED (
  SELECT c.*, GREATEST(c.tat, c.t) + c.step - c.burst AS ready,
    CASE WHEN @turn::timestamptz <= c.last_turn THEN @turn END AS turn,
    CASE WHEN c.asked_at > c.t - @lapse::bigint * interval '1 ms' THEN 2 ELSE 1 END * c.step AS spacing
  FROM c
), g AS MATERIALIZED (
  SELECT o.*, o.ready <= o.t AND COALESCE(o.turn, o.last_turn, o.t) <= o.t AS granted FROM o
), n AS MATERIALIZED (
  SELECT g.*, CASE WHEN g.granted THEN NULL WHEN g.turn IS NOT NULL THEN GREATEST(g.turn, g.ready)
    ELSE GREATEST(g.last_turn + g.spacing, g.ready) END AS next_turn FROM g
)
UPDATE webhook_rates r SET rate = @rate, last_turn = GREATEST(n.last_turn, n.next_turn),
  tat = CASE WHEN n.granted THEN GREATEST(n.tat, n.t) + n.step ELSE n.tat END
FROM n WHERE r.webhook_id = n.webhook_id
RETURNING n.granted, n.next_turn, extract(epoch FROM n.next_turn - n.t)::float8`)
