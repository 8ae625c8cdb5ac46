package devstack

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// linePeriod is how often a long step prints a line without a terminal.
const linePeriod = 15 * time.Second

// step shows the progress of a long step: a spinner with the elapsed time on a terminal, otherwise a line every 15 s. A
// line must fit 80 columns, or a terminal cannot overwrite it.
type step struct {
	log     io.Writer
	what    string
	started time.Time
	bar     *progressbar.ProgressBar // nil without a terminal
	stop    chan struct{}
	stopped sync.WaitGroup

	mu     sync.Mutex
	detail string
}

func startStep(log io.Writer, what string) *step {
	s := &step{log: log, what: what, started: time.Now(), stop: make(chan struct{})}
	period := linePeriod
	if isTerminal(log) {
		s.bar = progressbar.NewOptions(-1, progressbar.OptionSetWriter(log), progressbar.OptionSpinnerType(14),
			progressbar.OptionSetElapsedTime(false), progressbar.OptionClearOnFinish())
		period = 200 * time.Millisecond
	} else {
		fmt.Fprintln(log, what+" …")
	}
	s.stopped.Go(func() { s.tick(period) })
	return s
}

func (s *step) tick(period time.Duration) {
	ticker := time.NewTicker(period)
	defer ticker.Stop()
	for {
		select {
		case <-s.stop:
			return
		case <-ticker.C:
		}
		if s.bar != nil {
			s.bar.Describe(s.line())
			_ = s.bar.Add(1) // the terminal may be gone; the step continues
		} else {
			fmt.Fprintln(s.log, s.line())
		}
	}
}

func (s *step) line() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	line := fmt.Sprintf("%s … %s", s.what, time.Since(s.started).Round(time.Second))
	if s.detail != "" {
		line += ", " + s.detail
	}
	return line
}

// set replaces the detail shown after the elapsed time.
func (s *step) set(detail string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.detail = detail
}

func (s *step) end(err error) {
	close(s.stop)
	s.stopped.Wait()
	if s.bar != nil {
		_ = s.bar.Finish()
	}
	result := "done"
	if err != nil {
		result = "no success"
	}
	fmt.Fprintf(s.log, "%s … %s after %s\n", s.what, result, time.Since(s.started).Round(time.Second))
}

func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}
