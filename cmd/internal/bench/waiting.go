package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"

	"greenroom/cmd/internal/testbed"
)

// waitingRetries measures deliveries at a fixed rate without and with many retries of other webhooks, due tomorrow,
// most of which still wait in the queue for their workflow.
func waitingRetries(ctx context.Context, t *trial) error {
	last := len(t.keys) - 1
	return t.beside(ctx, last, func() error {
		// One event, whose deliveries are the pattern of the others.
		if err := t.client.publish(ctx, t.keys[last], 0, 0); err != nil {
			return err
		}
		return t.system.addRetries(ctx, t.sizes.retries)
	})
}

// beside measures an offered load of the first companies without and with what fill brings.
func (t *trial) beside(ctx context.Context, companies int, fill func() error) error {
	const rate = 200
	if err := t.warmUp(ctx, companies); err != nil {
		return err
	}
	if err := t.offered(ctx, rate, companies); err != nil {
		return err
	}
	p50, p99 := t.result.P50, t.result.P99
	if err := fill(); err != nil {
		return err
	}
	if err := t.warmUp(ctx, companies); err != nil { // both measurements follow the same load
		return err
	}
	if err := t.offered(ctx, rate, companies); err != nil {
		return err
	}
	t.result.figure("p50_alone_ms", p50)
	t.result.figure("p99_alone_ms", p99)
	t.result.figure("p99_ratio", t.result.P99/p99)
	t.receiver.close() // a worker that stops waits for the attempts that hang
	return nil
}

// addRetries stores deliveries of the webhooks that have none but hanging ones: each failed once in a batch, and its
// next attempt is due tomorrow.
func (s *system) addRetries(ctx context.Context, n int) error {
	for {
		var found bool
		err := s.db.NewRaw("SELECT EXISTS (SELECT FROM webhooks w WHERE url LIKE '%hang%' AND EXISTS "+
			"(SELECT FROM deliveries d WHERE d.webhook_id = w.id))").Scan(ctx, &found)
		if err != nil {
			return fmt.Errorf("look for the hanging webhooks: %w", err)
		}
		if found {
			break
		}
		if err := testbed.Sleep(ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
	_, err := s.db.ExecContext(ctx, `WITH hook AS MATERIALIZED (
		SELECT w.id, w.company_id, d.event_id, d.event_type, row_number() OVER (ORDER BY w.id) - 1 AS place,
			count(*) OVER () AS hooks
		FROM webhooks w JOIN deliveries d ON d.webhook_id = w.id WHERE w.url LIKE '%hang%'
	), d AS (
		INSERT INTO deliveries (id, event_id, webhook_id, company_id, event_type, status, attempts, next_attempt_at,
			last_error, created_at, updated_at)
		SELECT uuid_v7(), h.event_id, h.id, h.company_id, h.event_type, 'retrying', 1, now() + interval '1 day',
			'refused', now(), now()
		FROM generate_series(1, ?0) n JOIN hook h ON h.place = n % h.hooks
		RETURNING id, webhook_id, company_id
	)
	INSERT INTO delivery_queue (webhook_id, company_id, delivery_id, attempt)
	SELECT webhook_id, COALESCE(company_id, '00000000-0000-0000-0000-000000000000'), id, 2 FROM d`, n)
	if err != nil {
		return fmt.Errorf("store waiting retries: %w", err)
	}
	return nil
}

// waitingInterviews measures what interviews cost that wait for their day, and deliveries at a fixed rate beside them.
func waitingInterviews(ctx context.Context, t *trial) error {
	var before usage
	err := t.beside(ctx, len(t.keys), func() (err error) {
		if before, err = t.system.usage(ctx); err != nil {
			return err
		}
		started := time.Now()
		if err := t.scheduleInterviews(ctx, t.sizes.interviews); err != nil {
			return err
		}
		t.result.figure("interviews_per_s", float64(t.sizes.interviews)/time.Since(started).Seconds())
		return nil
	})
	if err != nil {
		return err
	}
	after, err := t.system.usage(ctx)
	if err != nil {
		return err
	}
	for name, mib := range after.memory {
		t.result.figure(name+"_mib", mib)
		t.result.figure(name+"_mib_before", before.memory[name])
	}
	each := float64(t.sizes.interviews)
	t.result.figure("database_kib_each", (after.own-before.own)/each)
	t.result.figure("temporal_database_kib_each", (after.others-before.others)/each)
	return nil
}

// scheduleInterviews makes interviews that begin tomorrow, and waits until each has its workflow.
func (t *trial) scheduleInterviews(ctx context.Context, n int) error {
	body, err := json.Marshal(map[string]any{
		"candidate": map[string]any{
			"firstName": "Grace", "lastName": "Hopper", "email": "grace@bench.example",
			"gdprExpiryDate": time.Now().AddDate(1, 0, 0).Format(time.DateOnly),
		},
		"agent": map[string]any{
			"name":      "Ada",
			"type":      "ONLINE",
			"focus":     "GENERIC",
			"questions": []string{"What did you build?"},
		},
		"scheduledAt": time.Now().Add(24 * time.Hour).UTC().Format(time.RFC3339),
	})
	if err != nil {
		return err
	}
	group, limited := errgroup.WithContext(ctx)
	group.SetLimit(publishers)
	for i := range n {
		group.Go(func() error {
			return t.client.post(limited, t.keys[i%len(t.keys)], "/interviews", body, http.StatusCreated)
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for {
		var left int
		if err := t.system.db.NewRaw("SELECT count(*) FROM commands").Scan(ctx, &left); err != nil {
			return fmt.Errorf("count commands: %w", err)
		}
		if left == 0 {
			return nil
		}
		if err := testbed.Sleep(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
}

// usage is the memory of each process, in MiB, and the size of this system's database and of all others, in KiB.
type usage struct {
	memory      map[string]float64
	own, others float64
}

func (s *system) usage(ctx context.Context) (u usage, err error) {
	u.memory = map[string]float64{}
	for name, pid := range s.processes() {
		mib, ok := residentMemory(pid)
		if !ok {
			return u, errors.New("the memory of " + name + " cannot be read")
		}
		u.memory[name] = mib
	}
	err = s.db.NewRaw(`SELECT sum(pg_database_size(oid)) FILTER (WHERE datname = current_database()) / 1024,
		sum(pg_database_size(oid)) FILTER (WHERE datname <> current_database()) / 1024 FROM pg_database`).
		Scan(ctx, &u.own, &u.others)
	if err != nil {
		return u, fmt.Errorf("read the databases' sizes: %w", err)
	}
	return u, nil
}
