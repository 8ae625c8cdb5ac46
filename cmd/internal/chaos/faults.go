package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"greenroom/cmd/internal/testbed"
)

// kind is a kind of fault. When run returns, the broken part works again.
type kind struct {
	name   string
	weight int
	// lasts means that the fault overlaps with those after it, for the length of its draw.
	lasts bool
	run   func(ctx context.Context, r *run, d draw) (detail string, err error)
}

// draw is one fault of the plan, with its random values.
type draw struct {
	kind   kind
	before time.Duration // pause before the fault
	pause  time.Duration // between the end of a process and its restart
	length time.Duration // of a fault that lasts
	pick   uint64        // selects the process, receiver or workflow
}

// of selects one of n.
func (d draw) of(n int) int { return int(d.pick % uint64(max(n, 1))) }

var kinds = []kind{
	{name: "api-kill", weight: 8, run: onAPI((*process).kill)},
	{name: "worker-kill", weight: 12, run: onWorker((*process).kill)},
	{name: "temporal-kill", weight: 6, run: onStores((*stores).killTemporal)},
	{name: "temporal-restart", weight: 3, run: onStores((*stores).restartTemporal)},
	{name: "postgres-kill", weight: 6, run: onStores((*stores).killPostgres)},
	{name: "postgres-restart", weight: 3, run: onStores((*stores).restartPostgres)},
	{name: "all-kill", weight: 4, run: killEverything},
	{name: "api-freeze", weight: 4, lasts: true, run: frozen(func(r *run) []*process { return r.fleet.apis })},
	{name: "worker-freeze", weight: 8, lasts: true, run: frozen(func(r *run) []*process { return r.fleet.workers })},
	{name: "temporal-freeze", weight: 3, run: freezeTemporal},
	{name: "api-deploy", weight: 3, run: onAPI((*process).deploy)},
	{name: "worker-deploy", weight: 5, run: onWorker((*process).deploy)},
	{name: "receiver-500", weight: 4, lasts: true, run: onReceiver(failing)},
	{name: "receiver-hang", weight: 4, lasts: true, run: onReceiver(hanging)},
	{name: "receiver-reset", weight: 3, lasts: true, run: onReceiver(resetting)},
	{name: "receiver-429", weight: 3, lasts: true, run: onReceiver(limiting)},
	{name: "receiver-slow", weight: 3, lasts: true, run: onReceiver(slow)},
	{name: "receiver-down", weight: 4, lasts: true, run: receiverDown},
	{name: "operator-terminate", weight: 4, run: byHand((*operator).terminate)},
	{name: "operator-cancel", weight: 4, run: byHand((*operator).cancel)},
	{name: "operator-reset", weight: 4, run: byHand((*operator).reset)},
	{name: "operator-delete", weight: 4, run: byHand((*operator).delete)},
	{name: "operator-signal", weight: 3, run: byHand((*operator).signal)},
	{name: "operator-replay", weight: 3, run: replayFailed},
	{name: "burst", weight: 4, run: burst},
	{name: dropKind, run: onStores((*stores).dropTemporal)}, // no weight: it happens once, in the middle
}

const dropKind = "temporal-store-dropped"

// Kinds lists the names of all kinds of faults.
func Kinds() []string {
	names := make([]string, len(kinds))
	for i, k := range kinds {
		names[i] = k.name
	}
	return names
}

func chooseKinds(names []string) ([]kind, error) {
	if len(names) == 0 {
		return kinds, nil
	}
	var chosen []kind
	for _, name := range names {
		i := slices.IndexFunc(kinds, func(k kind) bool { return k.name == name })
		if i < 0 {
			return nil, fmt.Errorf("there is no kind of fault %q: choose from %s", name, strings.Join(Kinds(), ", "))
		}
		chosen = append(chosen, kinds[i])
	}
	return chosen, nil
}

// plan draws the faults of a run from its seed. If the drop of Temporal's store is among the kinds, it happens once, in
// the middle.
func plan(opts Options) ([]draw, error) {
	chosen, err := chooseKinds(opts.Kinds)
	if err != nil {
		return nil, err
	}
	random := rand.New(rand.NewPCG(opts.Seed, 1)) //nolint:gosec // repeatable on purpose
	var lots []kind
	drop := -1
	for i, k := range chosen {
		if k.weight == 0 {
			drop = i
		}
		lots = append(lots, slices.Repeat([]kind{k}, k.weight)...)
	}
	draws := make([]draw, opts.Faults)
	for i := range draws {
		d := draw{
			before: opts.Least + time.Duration(random.Int64N(int64(opts.Most-opts.Least)+1)),
			pause:  time.Duration(random.Int64N(int64(2500 * time.Millisecond))),
			length: lengthOf(random), pick: random.Uint64(),
		}
		if len(lots) > 0 {
			d.kind = lots[random.IntN(len(lots))]
		}
		if drop >= 0 && (i == len(draws)/2 || len(lots) == 0) {
			d.kind = chosen[drop]
		}
		draws[i] = d
	}
	return draws, nil
}

// lengthOf draws a length: mostly a few seconds, sometimes longer than the leases and timeouts of the system.
func lengthOf(random *rand.Rand) time.Duration {
	length := 2*time.Second + time.Duration(random.Int64N(int64(8*time.Second)))
	if random.IntN(6) == 0 {
		length += 20 * time.Second
	}
	return length
}

// injectFaults runs the plan until its end or the time limit, and returns when every broken part works again. A fault
// that was skipped because its part was already broken is not recorded.
func (r *run) injectFaults(ctx context.Context) error {
	draws, err := plan(r.opts)
	if err != nil {
		return err
	}
	var wait sync.WaitGroup
	defer wait.Wait()
	for _, d := range draws {
		if time.Since(r.started) > r.opts.Within {
			fmt.Fprintln(r.opts.Log, "the time limit for faults is reached")
			return nil
		}
		if err := testbed.Sleep(ctx, d.before); err != nil {
			return err
		}
		if d.kind.lasts {
			wait.Go(func() { _ = r.do(ctx, d) }) // do logs its error, and such a fault ends by itself
			continue
		}
		if err := r.do(ctx, d); err != nil {
			return err
		}
	}
	return nil
}

// errSkipped means that the part was already broken or missing.
var errSkipped = errors.New("skipped: there was nothing to break")

func (r *run) do(ctx context.Context, d draw) error {
	start := r.timeline.now()
	detail, err := d.kind.run(ctx, r, d)
	accepted, arrived := r.ledger.counts()
	fmt.Fprintf(
		r.opts.Log,
		"%6.1fs %-22s %s; %d accepted, %d not yet arrived\n",
		start.Seconds(),
		d.kind.name,
		detail,
		accepted,
		accepted-arrived,
	)
	if errors.Is(err, errSkipped) {
		return nil
	}
	if err != nil {
		fmt.Fprintf(r.opts.Log, "        %v\n", err)
		return err
	}
	r.timeline.add(d.kind.name, detail, start)
	return nil
}

// onProcess makes a fault for one of several processes.
func onProcess(
	list func(*run) []*process,
	fault func(*process, context.Context, time.Duration) error,
) func(context.Context, *run, draw) (string, error) {
	return func(ctx context.Context, r *run, d draw) (string, error) {
		p := list(r)[d.of(len(list(r)))]
		return p.opts.Name, fault(p, ctx, d.pause)
	}
}

func onAPI(
	fault func(*process, context.Context, time.Duration) error,
) func(context.Context, *run, draw) (string, error) {
	return onProcess(func(r *run) []*process { return r.fleet.apis }, fault)
}

func onWorker(
	fault func(*process, context.Context, time.Duration) error,
) func(context.Context, *run, draw) (string, error) {
	return onProcess(func(r *run) []*process { return r.fleet.workers }, fault)
}

func frozen(list func(*run) []*process) func(context.Context, *run, draw) (string, error) {
	return func(ctx context.Context, r *run, d draw) (string, error) {
		p := list(r)[d.of(len(list(r)))]
		return fmt.Sprintf("%s for %.1f s", p.opts.Name, d.length.Seconds()), p.freeze(ctx, d.length)
	}
}

func onStores(
	fault func(*stores, context.Context, time.Duration) error,
) func(context.Context, *run, draw) (string, error) {
	return func(ctx context.Context, r *run, d draw) (string, error) { return "", fault(r.stores, ctx, d.pause) }
}

func freezeTemporal(ctx context.Context, r *run, d draw) (string, error) {
	length := min(d.length, 15*time.Second)
	return fmt.Sprintf("for %.1f s", length.Seconds()), r.stores.freezeTemporal(ctx, length)
}

// killEverything simulates a power failure of the whole machine.
func killEverything(ctx context.Context, r *run, d draw) (string, error) {
	s := r.stores
	s.mu.Lock()
	defer s.mu.Unlock()
	restart := r.fleet.killAll()
	var wait sync.WaitGroup
	wait.Go(s.temporal.Kill)
	wait.Go(s.postgres.Kill)
	wait.Wait()
	err := testbed.Sleep(ctx, d.pause)
	if err == nil {
		err = retry(ctx, restartLimit, s.postgres.Start)
	}
	if err == nil {
		err = retry(ctx, restartLimit, s.temporal.Start)
	}
	return "", errors.Join(err, restart())
}

func onReceiver(m mode) func(context.Context, *run, draw) (string, error) {
	return func(ctx context.Context, r *run, d draw) (string, error) {
		hooks := breakable(r.hooks)
		i := d.of(len(hooks))
		h := hooks[i]
		h.receiver.set(m)
		defer h.receiver.set(healthy)
		return fmt.Sprintf("receiver %d for %.1f s", i, d.length.Seconds()), testbed.Sleep(ctx, d.length)
	}
}

func receiverDown(ctx context.Context, r *run, d draw) (string, error) {
	hooks := breakable(r.hooks)
	i := d.of(len(hooks))
	hooks[i].receiver.down()
	err := testbed.Sleep(ctx, d.length)
	up := retry(context.WithoutCancel(ctx), restartLimit, hooks[i].receiver.up)
	return fmt.Sprintf("receiver %d for %.1f s", i, d.length.Seconds()), errors.Join(err, up)
}

// burstSize fills a batch and leaves more deliveries waiting.
const burstSize = 800

func burst(ctx context.Context, r *run, _ draw) (string, error) {
	r.publisher.burst(ctx, burstSize)
	return fmt.Sprintf("%d events at once", burstSize), nil
}

func byHand(
	act func(*operator, context.Context, draw) (string, error),
) func(context.Context, *run, draw) (string, error) {
	return func(ctx context.Context, r *run, d draw) (string, error) { return act(r.operator, ctx, d) }
}

// replayFailed replays the failed deliveries of a webhook, as an operator does after an outage of its receiver.
func replayFailed(ctx context.Context, r *run, d draw) (string, error) {
	hooks := breakable(r.hooks)
	h := hooks[d.of(len(hooks))]
	in := map[string]any{"since": r.started.Add(-time.Minute).UTC().Format(time.RFC3339), "status": []string{"failed"}}
	url := r.fleet.apis[d.of(len(r.fleet.apis))].url
	if err := call(ctx, url, h.key, "/webhooks/"+h.id.String()+"/replays", in, nil); err != nil {
		return err.Error(), errSkipped
	}
	return "the failed deliveries of " + h.id.String(), nil
}
