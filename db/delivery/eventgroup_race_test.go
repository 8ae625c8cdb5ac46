package delivery_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"greenroom/db/catalog"
	"greenroom/db/delivery"
)

// TestEventGroupBesideWebhooks publishes from 64 callers while a webhook comes and goes. An event that was submitted
// after the webhook was there and answered before it went has a delivery; one before or after has none; and what a
// caller was told is what is stored.
func TestEventGroupBesideWebhooks(t *testing.T) {
	t.Parallel()
	b := groupSetup(t)
	const absent, unsure, present = 0, 1, 2
	var webhook atomic.Int32
	var epoch atomic.Int64 // moves with each change
	stop := make(chan struct{})
	var publishers sync.WaitGroup
	var mu sync.Mutex
	var told []answer
	var sure [3]atomic.Int64
	for range 64 {
		publishers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				before, state := epoch.Load(), webhook.Load()
				a := <-b.start(b.ctx, func(s *delivery.Submission) { s.Events[0].Type = catalog.JobCreated })
				if a.err == nil && state != unsure && epoch.Load() == before {
					sure[state].Add(1)
					if want := map[int32]int{absent: 0, present: 1}[state]; a.deliveries != want {
						a.err = fmt.Errorf("%d deliveries instead of %d", a.deliveries, want)
					}
				}
				mu.Lock()
				told = append(told, a)
				mu.Unlock()
			}
		})
	}
	change := func(to int32, do func()) {
		webhook.Store(unsure)
		epoch.Add(1)
		do()
		webhook.Store(to)
		epoch.Add(1)
		seen := sure[to].Load()
		b.until(func() bool { return sure[to].Load() > seen+100 })
	}
	for range 4 {
		var w *delivery.Webhook
		change(present, func() { w = b.webhook(catalog.JobCreated) })
		change(absent, func() {
			b.tx(func(tx bun.Tx) error { return delivery.DeleteWebhook(b.ctx, tx, w.ID) })
		})
	}
	close(stop)
	publishers.Wait()
	deliveries := map[uuid.UUID]int{}
	var rows []struct {
		ID uuid.UUID
		N  int
	}
	require.NoError(
		t,
		b.NewRaw("SELECT e.id, count(d.id) AS n FROM events e LEFT JOIN deliveries d ON d.event_id = e.id GROUP BY e.id").
			Scan(b.ctx, &rows),
	)
	for _, r := range rows {
		deliveries[r.ID] = r.N
	}
	require.Len(t, rows, len(told))
	for _, a := range told {
		require.NoError(t, a.err)
		n, stored := deliveries[a.event.ID]
		require.True(t, stored)
		require.Equal(t, a.deliveries, n)
	}
	require.Less(t, len(b.commits()), len(told)/4, "commits were shared")
}
