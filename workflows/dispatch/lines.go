package dispatch

import (
	"context"
	"time"
)

const (
	// linesAtOnce bounds the changes that one transaction looks at.
	linesAtOnce = 1000
	// linesAgain is the pause after a round that left lines: another worker moves them, or events are being stored.
	linesAgain = 10 * time.Millisecond
	// linesHeld is the pause while a transaction that stores events takes long.
	linesHeld = 50 * time.Millisecond
)

// moveLines is a round of the deliveries that wait for earlier ones of their subject: the first of each line that has
// none under way goes to the queue. It costs one statement while no line has changed.
func (d *Dispatcher) moveLines(ctx context.Context) (r Result, err error) {
	changed, err := d.lines.Changed(ctx)
	if err != nil || !changed {
		return Result{}, err
	}
	within, cancel := context.WithTimeout(context.WithoutCancel(ctx), roundLimit)
	defer cancel()
	m, err := d.lines.Move(within, linesAtOnce)
	if err != nil {
		return Result{}, err
	}
	if m.Heads > 0 {
		wake(d.deliveries)
	}
	if m.Held && m.Heads == 0 {
		sleep(ctx, linesHeld) // also when more events are published: they wait too
	}
	if m.Again {
		return Result{Taken: m.Heads, next: time.Now().Add(linesAgain)}, nil
	}
	return Result{Taken: m.Heads, more: m.Lines > 0}, nil
}

// WakeLines makes Run look for changed lines now: a delivery in one has ended. It does not block.
func (d *Dispatcher) WakeLines() { wake(d.moved) }
