package chaos

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/cmd/internal/testbed"
	"greenroom/db"
	"greenroom/db/catalog"
	"greenroom/db/delivery"
	"greenroom/db/pg"
)

// witness is a webhook whose receiver has no faults, beside those that the load goes to.
type witness struct {
	id     uuid.UUID
	server *httptest.Server

	mu sync.Mutex
	// arrived counts the requests of each delivery, by webhook-id.
	arrived map[string]int
}

func newWitness() *witness {
	w := &witness{arrived: map[string]int{}}
	w.server = httptest.NewServer(http.HandlerFunc(w.serve))
	return w
}

func (w *witness) serve(answer http.ResponseWriter, req *http.Request) {
	if _, err := io.Copy(io.Discard, req.Body); err != nil {
		return // aborted: not counted
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.arrived[req.Header.Get("webhook-id")]++
	answer.WriteHeader(http.StatusOK)
}

func (w *witness) times(delivery uuid.UUID) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.arrived[delivery.String()]
}

// witnesses are what watches a run beside its load: readers of the feed, a webhook of the platform that is told of
// every circuit, a webhook that is registered during the faults and catches up, and one that gets the events of each
// subject in order.
type witnesses struct {
	key      string // of the platform
	readers  []*feedReader
	circuits *witness
	late     *witness
	ordered  *orderWitness
	// caughtUp: the catch-up was accepted.
	caughtUp bool
}

var circuitEvents = []string{catalog.WebhookCircuitOpened, catalog.WebhookCircuitClosed}

// logCircuits makes PostgreSQL itself write down every change of a circuit, whatever changed it: the log that the
// events are compared with.
const logCircuits = `
CREATE TABLE circuit_log (webhook_id uuid NOT NULL, type text NOT NULL, position bigint NOT NULL);
CREATE FUNCTION log_circuit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO circuit_log VALUES (NEW.id,
    CASE WHEN NEW.circuit_opened_at IS NULL THEN '` + catalog.WebhookCircuitClosed + `'
      ELSE '` + catalog.WebhookCircuitOpened + `' END, pg_current_xact_id()::text::bigint);
  RETURN NULL;
END $$;
CREATE TRIGGER log_circuit AFTER UPDATE ON webhooks FOR EACH ROW
  WHEN ((OLD.circuit_opened_at IS NULL) <> (NEW.circuit_opened_at IS NULL)) EXECUTE FUNCTION log_circuit();`

func (r *run) callWitnesses(ctx context.Context) (w *witnesses, err error) {
	w = &witnesses{circuits: newWitness(), late: newWitness(), ordered: newOrderWitness()}
	if _, err := r.db.ExecContext(ctx, logCircuits); err != nil {
		return w, fmt.Errorf("log the circuits: %w", err)
	}
	secret, err := hex.DecodeString(r.stores.secrets.Secret)
	if err != nil {
		return w, fmt.Errorf("read the generated secret: %w", err)
	}
	key, hash, prefix := db.GenerateKey(secret)
	err = pg.InTx(ctx, r.db, func(ctx context.Context, tx bun.Tx) error {
		return db.CreateAPIKey(ctx, tx, &db.APIKey{
			Name: "chaos", Hash: hash, Prefix: prefix, Scopes: []string{"*"}, RatePerMinute: testbed.NoLimit,
			RatePerHour: testbed.NoLimit,
		}, "cli")
	})
	if err != nil {
		return w, fmt.Errorf("create a platform key: %w", err)
	}
	w.key = key
	urls := r.fleet.urls()
	w.readers = []*feedReader{
		{urls: urls, key: key, limit: 100, wait: feedWait}, {urls: urls, key: key, limit: 7},
	}
	if w.circuits.id, err = r.subscribe(ctx, key, w.circuits.server.URL, circuitEvents, nil); err != nil {
		return w, err
	}
	ordering := delivery.BySubject
	w.ordered.id, err = r.subscribe(
		ctx,
		r.hooks[0].key,
		w.ordered.server.URL,
		[]string{catalog.InterviewStarted},
		&ordering,
	)
	return w, err
}

// subscribe registers a witness.
func (r *run) subscribe(
	ctx context.Context, key, endpoint string, events []string, ordering *string,
) (uuid.UUID, error) {
	var out struct{ ID uuid.UUID }
	in := map[string]any{"url": endpoint, "events": events, "profile": "standard", "ordering": ordering}
	err := call(ctx, r.fleet.apis[0].url, key, "/webhooks", in, &out)
	return out.ID, err
}

func (w *witnesses) close() {
	if w != nil {
		w.circuits.server.Close()
		w.late.server.Close()
		w.ordered.server.Close()
	}
}

// catchUpAfter is when the late webhook is registered: between faults, with events before and after it.
const catchUpAfter = 5 * time.Second

// catchUp registers a webhook of the first company while faults happen, and has it catch up. A repeated request may
// register or start another one: the last one counts.
func (r *run) catchUp(ctx context.Context) {
	w, key := r.witnesses, r.hooks[0].key
	if testbed.Sleep(ctx, catchUpAfter) != nil {
		return
	}
	tries := func(fn func() error) {
		for err := fn(); err != nil; err = fn() {
			fmt.Fprintf(r.opts.Log, "        the late webhook: %v\n", err)
			if testbed.Sleep(ctx, repeatFirst) != nil {
				return
			}
		}
	}
	tries(func() (err error) {
		id, err := r.subscribe(ctx, key, w.late.server.URL, []string{catalog.InterviewStarted}, nil)
		if err == nil {
			w.late.id = id
		}
		return err
	})
	since := map[string]any{"since": r.started.Add(-time.Minute).UTC().Format(time.RFC3339)}
	tries(func() error {
		err := call(ctx, r.fleet.apis[0].url, key, "/webhooks/"+w.late.id.String()+"/catch-up", since, nil)
		w.caughtUp = w.caughtUp || err == nil
		return err
	})
}

// WitnessCheck compares what a witness must have got with what it got.
type WitnessCheck struct {
	Expected int `json:"expected"` // changes of circuits, or events
	// Missing have no event or no delivery, Surplus have one too many, NotArrived have a delivery that did not arrive.
	Missing    int `json:"missing"`
	Surplus    int `json:"surplus"`
	NotArrived int `json:"notArrived"`
	Canceled   int `json:"canceled"` // by the operator
}

func (c *WitnessCheck) broken() bool { return c.Missing+c.Surplus+c.NotArrived > 0 }

// expected is a delivery that a witness must have: Deliveries of one change or event.
type expected struct {
	Events     int
	Deliveries []uuid.UUID `bun:",array"`
}

func (r *run) checkWitness(w *witness, all []expected) (c WitnessCheck) {
	c.Expected = len(all)
	for _, e := range all {
		switch {
		case e.Events == 0 || len(e.Deliveries) == 0:
			c.Missing++
		case e.Events > 1 || len(e.Deliveries) > 1:
			c.Surplus++
		case w.times(e.Deliveries[0]) > 0:
		case r.operator.touched(r.operator.canceled, e.Deliveries[0]):
			c.Canceled++
		default:
			c.NotArrived++
		}
	}
	return c
}

// checkCircuits compares the log of the circuits with the events, which have the number of the same transaction, and
// with their deliveries. Events without an entry in the log are surplus.
func (r *run) checkCircuits(ctx context.Context) (c WitnessCheck, err error) {
	var all []expected
	err = r.db.NewRaw(`
SELECT count(DISTINCT e.id) AS events, array_agg(d.id) FILTER (WHERE d.id IS NOT NULL) AS deliveries
FROM circuit_log l
  LEFT JOIN events e ON e.position = l.position AND e.type = l.type
    AND e.data::jsonb ->> 'webhookId' = l.webhook_id::text
  LEFT JOIN deliveries d ON d.event_id = e.id AND d.webhook_id = ?
GROUP BY l.webhook_id, l.type, l.position, l.ctid`, r.witnesses.circuits.id).Scan(ctx, &all)
	if err != nil {
		return c, fmt.Errorf("read the circuits' log: %w", err)
	}
	c = r.checkWitness(r.witnesses.circuits, all)
	var told int
	err = r.db.NewRaw("SELECT count(*) FROM events WHERE type IN (?)", bun.List(circuitEvents)).Scan(ctx, &told)
	if err != nil {
		return c, fmt.Errorf("count the events of circuits: %w", err)
	}
	c.Surplus += max(told-(c.Expected-c.Missing), 0)
	return c, nil
}

// checkCatchUp compares the events of the first company with the deliveries of the webhook that caught up.
func (r *run) checkCatchUp(ctx context.Context) (c WitnessCheck, err error) {
	if !r.witnesses.caughtUp { // no API accepted it
		return WitnessCheck{Missing: 1}, nil
	}
	var all []expected
	err = r.db.NewRaw(`
SELECT 1 AS events, array_agg(d.id) FILTER (WHERE d.id IS NOT NULL) AS deliveries
FROM events e LEFT JOIN deliveries d ON d.event_id = e.id AND d.webhook_id = ?0
WHERE e.type = ?1 AND e.company_id = (SELECT COALESCE(company_id, owner_company_id) FROM webhooks WHERE id = ?2)
GROUP BY e.id`, r.witnesses.late.id, catalog.InterviewStarted, r.hooks[0].id).Scan(ctx, &all)
	if err != nil {
		return c, fmt.Errorf("read the deliveries of the catch-up: %w", err)
	}
	return r.checkWitness(r.witnesses.late, all), nil
}

// endFeed lets the readers read to the end of the feed.
func (r *run) endFeed(ctx context.Context, readers *sync.WaitGroup) error {
	for _, f := range r.witnesses.readers {
		f.stopAtEnd()
	}
	done := make(chan struct{})
	go func() { readers.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(feedEndLimit):
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// feedEndLimit is how long a reader may take to the end of the feed after every delivery has ended.
const feedEndLimit = 2 * time.Minute

// checkWitnesses adds what the witnesses saw to the report.
func (r *run) checkWitnesses(ctx context.Context, report *Report, entries []entry) (err error) {
	var stored, accepted []uuid.UUID
	if err := r.db.NewRaw("SELECT id FROM events ORDER BY position, id").Scan(ctx, &stored); err != nil {
		return fmt.Errorf("read the order of the events: %w", err)
	}
	for i := range entries {
		if entries[i].accepted != 0 {
			accepted = append(accepted, entries[i].id)
		}
	}
	for _, f := range r.witnesses.readers {
		report.Feed = append(report.Feed, checkFeed(f, stored, accepted))
	}
	if report.Circuits, err = r.checkCircuits(ctx); err != nil {
		return err
	}
	if report.CatchUp, err = r.checkCatchUp(ctx); err != nil {
		return err
	}
	report.Order, err = r.checkOrder(ctx)
	return err
}

// isLoaded reports whether the load goes to a webhook.
func (r *run) isLoaded(webhook uuid.UUID) bool {
	return slices.ContainsFunc(r.hooks, func(h *hook) bool { return h.id == webhook })
}
