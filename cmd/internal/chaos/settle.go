package chaos

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"greenroom/cmd/internal/testbed"
)

// settled describes the end of a run.
type settled struct {
	after time.Duration // from the end of the last fault to the last change of a delivery created before it
	all   bool          // every delivery has ended
}

const (
	// hurryEvery is how often the operator retries waiting deliveries whose next attempt is later than
	// hurryFrom from now.
	hurryEvery = 10 * time.Second
	hurryFrom  = 15 * time.Second
	// lateness is how long the run waits for duplicates after every delivery has ended.
	lateness = 4 * time.Second
)

// settle waits until every delivery has ended, or until nothing has changed for opts.Quiet.
func (r *run) settle(ctx context.Context) (s settled, err error) {
	last, changed, hurried := -1, time.Now(), time.Now()
	for {
		open, err := r.open(ctx)
		if err == nil && open == 0 {
			s.all = true
			break
		}
		if _, arrived := r.ledger.counts(); arrived-open != last {
			last, changed = arrived-open, time.Now()
		}
		if time.Since(changed) > r.opts.Quiet {
			fmt.Fprintf(
				r.opts.Log,
				"%d deliveries have not ended, and nothing has changed for %s (%v)\n",
				open,
				r.opts.Quiet,
				err,
			)
			break
		}
		if time.Since(hurried) > hurryEvery {
			hurried = time.Now()
			fmt.Fprintf(
				r.opts.Log,
				"%6.1fs %d deliveries have not ended:%s\n",
				r.timeline.now().Seconds(),
				open,
				r.remaining(ctx),
			)
			r.hurry(ctx)
		}
		if err := testbed.Sleep(ctx, 250*time.Millisecond); err != nil {
			return s, err
		}
	}
	if s.after, err = r.lastChange(ctx); err != nil {
		return s, err
	}
	return s, testbed.Sleep(ctx, lateness)
}

// lastChange returns the time from the end of the last fault to the last change of a delivery created before it.
func (r *run) lastChange(ctx context.Context) (time.Duration, error) {
	end := r.started.Add(lastEnd(r.timeline.faults()))
	var last time.Time
	err := r.db.NewRaw("SELECT COALESCE(max(updated_at), ?0) FROM deliveries WHERE created_at < ?0", end).Scan(ctx, &last)
	if err != nil {
		return 0, fmt.Errorf("look for the last change: %w", err)
	}
	return max(last.Sub(end), 0), nil
}

// open counts the deliveries that have not ended.
func (r *run) open(ctx context.Context) (n int, err error) {
	err = r.db.NewRaw("SELECT count(*) FROM deliveries WHERE status IN ('pending', 'retrying', 'paused')").Scan(ctx, &n)
	return n, err
}

// remaining describes the deliveries that have not ended.
func (r *run) remaining(ctx context.Context) string {
	var places []struct {
		Status, Place string
		N             int
	}
	err := r.db.NewRaw(`SELECT status, place, count(*) AS n FROM (
		SELECT d.status, CASE
			WHEN EXISTS (SELECT 1 FROM delivery_queue q WHERE q.delivery_id = d.id) THEN 'in the queue'
			WHEN EXISTS (SELECT 1 FROM delivery_batches b WHERE d.id = ANY (b.deliveries)) THEN 'in a batch'
			WHEN EXISTS (SELECT 1 FROM commands c WHERE c.subject_id = d.id) THEN 'with a command'
			WHEN d.next_attempt_at > now() THEN 'not due'
			WHEN d.workflow_id IS NULL THEN 'without a workflow' ELSE 'with a ' || split_part(d.workflow_id, ':', 1) END AS place
		FROM deliveries d WHERE d.status IN ('pending', 'retrying', 'paused')) open GROUP BY 1, 2 ORDER BY 3
		DESC`).Scan(ctx, &places)
	if err != nil {
		return " " + err.Error()
	}
	var text strings.Builder
	for _, p := range places {
		fmt.Fprintf(&text, " %d %s %s;", p.N, p.Status, p.Place)
	}
	return text.String()
}

// hurry retries the deliveries whose next attempt is far in the future.
func (r *run) hurry(ctx context.Context) {
	var waiting []struct{ ID, WebhookID uuid.UUID }
	err := r.db.NewRaw(`SELECT id, webhook_id FROM deliveries WHERE status = 'retrying' AND next_attempt_at > now() + ? *
		interval '1 ms' LIMIT 200`,
		hurryFrom.Milliseconds()).
		Scan(ctx, &waiting)
	if err != nil {
		return // repeated at the next tick
	}
	for _, w := range waiting {
		for _, h := range r.hooks {
			if h.id == w.WebhookID {
				_ = call(ctx, r.fleet.apis[0].url, h.key, "/deliveries/"+w.ID.String()+"/retry", struct{}{}, nil)
			}
		}
	}
}
