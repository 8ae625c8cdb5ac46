package e2e_test

import (
	"fmt"
	"net/http"
	"os/exec"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"greenroom/cmd/internal/config"
)

// orderLog is what a receiver knows of the order: the last sequence of each subject, and the inversions.
type orderLog struct {
	mu         sync.Mutex
	last       map[string]int64
	inversions []string
	posts      int
	refuse     bool
	// at, when not nil, is called with the number of each POST.
	at func(n int)
}

// answer refuses while told to, and one in 100 POSTs.
func (l *orderLog) answer(_ int, r received) (int, http.Header) {
	l.mu.Lock()
	defer l.mu.Unlock()
	subject := fmt.Sprint(r.Body.Data["subject"])
	sequence, err := strconv.ParseInt(r.Header.Get("Webhook-Sequence"), 10, 64)
	if err != nil || sequence < l.last[subject] {
		l.inversions = append(l.inversions, fmt.Sprintf("%s: %d after %d, %v", subject, sequence, l.last[subject], err))
	}
	l.last[subject] = max(l.last[subject], sequence)
	l.posts++
	if l.at != nil {
		l.at(l.posts)
	}
	if l.refuse || l.posts%100 == 0 {
		return http.StatusServiceUnavailable, nil
	}
	return http.StatusOK, nil
}

func (l *orderLog) set(change func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change()
}

// TestOrderHoldsThroughFaults: two publishers of each subject at the same time, two workers of which one is killed, attempts
// that fail, a circuit that opens and is reset, a replay of all, and a catch-up of a webhook that is new. No event of a
// subject arrives after a later one.
func TestOrderHoldsThroughFaults(t *testing.T) {
	for name, mod := range map[string]func(*config.Config){
		"a_workflow_each": eachAlone,
		"shared":          func(*config.Config) {},
	} {
		t.Run(name, func(t *testing.T) {
			const publishers, each = 12, 40
			s := prepare(t, mod)
			s.serve()
			l := &orderLog{last: map[string]int64{}}
			r := listen(t, l.answer)
			w := s.must(http.MethodPost, "/webhooks", map[string]any{
				"url": r.URL, "events": []string{"interview.started"}, "profile": "instaview", "ordering": "subject",
				"circuitRecovery": "manual",
			})
			workers := []*exec.Cmd{s.process(), s.process()}
			killed := make(chan struct{})
			l.set(func() {
				l.at = func(n int) {
					switch n {
					case publishers * each / 3:
						close(killed)
					case publishers * each / 2:
						l.refuse = true
					}
				}
			})
			var publish errgroup.Group
			for p := range publishers {
				publish.Go(func() error {
					for range each {
						subject := fmt.Sprintf("order:%d", p/2)
						a, err := s.try(http.MethodPost, "/events", map[string]any{
							"type": "interview.started", "subject": subject, "data": map[string]any{"subject": subject},
						})
						if err != nil || a.Status != http.StatusAccepted {
							return fmt.Errorf("publish: %d %w", a.Status, err)
						}
					}
					return nil
				})
			}
			select {
			case <-killed:
			case <-time.After(wait):
				require.FailNow(t, "too few arrived", "%d", r.count())
			}
			require.NoError(t, workers[0].Process.Kill())
			_ = workers[0].Wait()
			s.process()
			require.NoError(t, publish.Wait())
			hook := "/webhooks/" + w["id"].(string)
			s.eventually(func() bool { return s.must(http.MethodGet, hook, nil)["circuitOpenedAt"] != nil }, "it opens")
			l.set(func() { l.refuse = false })
			s.must(http.MethodPost, hook+"/reset-circuit", nil)
			const total = publishers * each
			arrived := func(webhook any, generation int) func() bool {
				return func() bool {
					n, err := s.db.NewSelect().Table("deliveries").
						Where("webhook_id = ? AND status = 'succeeded' AND generation = ?", webhook, generation).Count(t.Context())
					require.NoError(t, err)
					return n == total
				}
			}
			s.eventually(arrived(w["id"], 0), "all arrive: %v", s.statuses(w["id"]))
			require.Empty(t, l.inversions)

			l.set(func() { l.last, l.at = map[string]int64{}, nil })
			s.must(http.MethodPost, hook+"/replays", map[string]any{
				"since": time.Now().Add(-time.Hour).Format(time.RFC3339), "status": []string{"succeeded"},
			})
			s.eventually(arrived(w["id"], 1), "all arrive again: %v", s.statuses(w["id"]))
			require.Empty(t, l.inversions)

			fresh := &orderLog{last: map[string]int64{}}
			late := s.must(http.MethodPost, "/webhooks", map[string]any{
				"url": listen(t, fresh.answer).URL, "events": []string{"interview.started"}, "profile": "instaview",
				"ordering": "subject", "circuitRecovery": "manual",
			})
			s.must(http.MethodPost, "/webhooks/"+late["id"].(string)+"/catch-up", map[string]any{
				"since": time.Now().Add(-time.Hour).Format(time.RFC3339),
			})
			s.eventually(arrived(late["id"], 0), "all are caught up: %v", s.statuses(late["id"]))
			require.Empty(t, fresh.inversions)
			_, extra := r.acceptedOnce()
			t.Logf("%d POSTs of %d events, %d accepted again beside the replay", l.posts, total, extra-total)
		})
	}
}
