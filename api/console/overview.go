package console

import (
	"slices"
	"time"

	"greenroom/db/delivery"
	"greenroom/db/pg"
)

// The overview reads the newest sampleSize deliveries of the last sampleWithin. Where that many were made in less than
// sampleSettles it reads those before, because the newest have not ended yet.
const (
	sampleSize    = 500
	sampleWithin  = 15 * time.Minute
	sampleSettles = 10 * time.Second
)

// waitingMost bounds the count of waiting deliveries on the overview, countedMost those of the queues: the overview is
// asked for again and again, and not by operators alone.
const (
	waitingMost = 1000
	countedMost = 10_000
)

// troubledMost bounds the webhooks under "Needs you".
const troubledMost = 20

type overviewBody struct {
	Waiting   delivery.Waiting
	CountedTo int
	Sample    figures
	Troubled  []delivery.Webhook
	Recent    []wireDelivery
	Empty     bool
}

// figures are what a sample of deliveries shows.
type figures struct {
	// Made are the deliveries of the sample, made within Over.
	Made int
	Over time.Duration
	Rate float64 // per second
	// Ended of them have ended, Succeeded of these were accepted by their receivers.
	Ended, Succeeded int
	// P50 and P95 are the times from the acceptance of the event to the recorded success; zero without a success.
	P50, P95 time.Duration
	// Bars are the deliveries made in each of equal parts of Over, oldest first, in percent of the largest.
	Bars []bar
}

type bar struct{ X, Y, Height, Count int }

func (c *console) overview(v *visit) error {
	if err := v.need("read:deliveries|read:webhooks"); err != nil {
		return err
	}
	ctx, scope := v.c.Request.Context(), v.who.Scope()
	now := time.Now()
	filter := delivery.Filter{Since: now.Add(-sampleWithin), Limit: sampleSize, WithoutTests: true}
	page, err := delivery.PageDeliveries(ctx, c.DB, scope, filter)
	if err != nil {
		return err
	}
	if n := len(page.Deliveries); n == sampleSize && now.Sub(page.Deliveries[n-1].CreatedAt) < sampleSettles {
		filter.Until = now.Add(-sampleSettles)
		if page, err = delivery.PageDeliveries(ctx, c.DB, scope, filter); err != nil {
			return err
		}
	}
	sample := page.Deliveries
	body := overviewBody{Sample: figuresOf(sample, now), CountedTo: waitingMost}
	if body.Waiting, err = delivery.CountWaiting(ctx, c.DB, scope, waitingMost); err != nil {
		return err
	}
	if body.Troubled, err = delivery.ListTroubled(ctx, c.DB, scope, troubledMost); err != nil {
		return err
	}
	var recent wirePage[wireDelivery]
	if err := v.get("/deliveries?limit=10", &recent); err != nil {
		return err
	}
	body.Recent = v.named(recent.Data)
	body.Empty = len(recent.Data) == 0
	return v.show("overview", "Overview", true, body)
}

// figuresOf computes the figures of deliveries, newest first. The rate is over the time since the oldest, at least a
// minute: a few deliveries in one second are no rate.
func figuresOf(sample []delivery.Delivery, now time.Time) figures {
	f := figures{Made: len(sample)}
	if f.Made == 0 {
		return f
	}
	oldest := pg.TimeOf(sample[len(sample)-1].ID)
	end := now
	if f.Made == sampleSize {
		end = pg.TimeOf(sample[0].ID)
	} else if end.Sub(oldest) < time.Minute {
		oldest = end.Add(-time.Minute)
	}
	f.Over = max(end.Sub(oldest), time.Millisecond)
	f.Rate = float64(f.Made) / f.Over.Seconds()
	var took []time.Duration
	counts := make([]int, 30)
	for i := range sample {
		d := &sample[i]
		at := int(int64(len(counts)) * int64(pg.TimeOf(d.ID).Sub(oldest)) / int64(f.Over))
		counts[min(max(at, 0), len(counts)-1)]++
		if !d.Status.Ended() || d.Status == delivery.Canceled {
			continue
		}
		f.Ended++
		if d.Status == delivery.Succeeded {
			f.Succeeded++
			if d.Generation == 0 {
				took = append(took, max(d.UpdatedAt.Sub(d.CreatedAt), 0))
			}
		}
	}
	slices.Sort(took)
	if n := len(took); n > 0 {
		f.P50, f.P95 = took[(n-1)/2], took[(n-1)*95/100]
	}
	f.Bars = barsOf(counts)
	return f
}

// barsOf scales counts to bars in a field of 300 × 40.
func barsOf(counts []int) []bar {
	most := max(slices.Max(counts), 1)
	bars := make([]bar, len(counts))
	for i, n := range counts {
		height := n * 40 / most
		if n > 0 {
			height = max(height, 2)
		}
		bars[i] = bar{X: i * 10, Y: 40 - height, Height: height, Count: n}
	}
	return bars
}
