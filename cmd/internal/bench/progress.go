package bench

import (
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// show draws a progress bar of the phase's arrivals until stop is called. Without a terminal it shows nothing: each
// result has a line anyway.
func (t *trial) show(what string, tr *tracker) (stop func()) {
	file, ok := t.log.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return func() {}
	}
	name := t.result.Scenario
	if what != "" {
		name += ", " + what
	}
	done, total := tr.arrived.Load, len(tr.arrivals)
	if t.scenario.fan == 0 {
		done, total = tr.accepted.Load, len(tr.events)
	}
	bar := progressbar.NewOptions(total, progressbar.OptionSetWriter(file), progressbar.OptionSetDescription(name),
		progressbar.OptionShowCount(), progressbar.OptionShowIts(), progressbar.OptionSetItsString("deliveries"),
		progressbar.OptionSetWidth(24), progressbar.OptionClearOnFinish())
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		ticker := time.NewTicker(200 * time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-end:
				_ = bar.Finish() // the terminal may be gone; the run continues
				return
			case <-ticker.C:
				_ = bar.Set64(min(done(), int64(total)))
			}
		}
	}()
	return func() { close(end); <-ended }
}
