package delivery

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/db/pg"
)

const (
	// feedEvery is the time between two looks at what is new in the feed.
	feedEvery = 500 * time.Millisecond
	// feedLookLimit is the time limit of a look.
	feedLookLimit = 5 * time.Second
	// feedNews limits the events of one look. When there are more, all readers are woken.
	feedNews = 5000
)

// FeedWatch wakes readers that wait for events. The readers of a process share one look at the feed, every half second,
// so their number costs no queries. No goroutine runs while no reader waits, so there is nothing to close.
type FeedWatch struct {
	db *bun.DB

	mu      sync.Mutex
	readers map[*FeedReader]bool
	running bool
}

// NewFeedWatch returns a FeedWatch for a database.
func NewFeedWatch(db *bun.DB) *FeedWatch { return &FeedWatch{db: db, readers: map[*FeedReader]bool{}} }

// FeedReader is a reader that waits for events of a company, or of all.
type FeedReader struct {
	watch   *FeedWatch
	company *uuid.UUID
	woken   chan struct{}
}

// Enter adds a reader, before it reads the feed: from then on it is woken by each event that it may not have read.
func (w *FeedWatch) Enter(company *uuid.UUID) *FeedReader {
	r := &FeedReader{watch: w, company: company, woken: make(chan struct{}, 1)}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.readers[r] = true
	if !w.running {
		w.running = true
		go w.run()
	}
	return r
}

// Leave removes the reader.
func (r *FeedReader) Leave() {
	r.watch.mu.Lock()
	defer r.watch.mu.Unlock()
	delete(r.watch.readers, r)
}

// Woken receives when there may be new events. While the database is unavailable, or an earlier transaction holds
// events back, it may be late.
func (r *FeedReader) Woken() <-chan struct{} { return r.woken }

func (w *FeedWatch) run() {
	var settled int64
	for w.look(&settled) {
		<-time.After(feedEvery)
	}
}

// look wakes the readers of the events that were settled since the last look, whose position is in settled. The first
// look wakes all: they may have read the feed before it. It returns false when no reader waits: the goroutine that
// calls it must end.
func (w *FeedWatch) look(settled *int64) bool {
	w.mu.Lock()
	if w.running = len(w.readers) > 0; !w.running {
		w.mu.Unlock()
		return false
	}
	w.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), feedLookLimit)
	defer cancel()
	s, err := loadFeedState(ctx, w.db)
	if err != nil || s.settled <= *settled {
		return true // readers also look by themselves
	}
	news := feedChange{all: true}
	if *settled > 0 {
		if news, err = changesOfFeed(ctx, w.db, *settled, s.settled); err != nil {
			return true
		}
	}
	*settled = s.settled
	w.wake(news)
	return true
}

func (w *FeedWatch) wake(news feedChange) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for r := range w.readers {
		if !news.all && (len(news.companies) == 0 || r.company != nil && !news.companies[*r.company]) {
			continue
		}
		select {
		case r.woken <- struct{}{}:
		default: // it is woken already
		}
	}
}

// feedChange says whose events are new; uuid.Nil stands for those of no company.
type feedChange struct {
	companies map[uuid.UUID]bool
	all       bool
}

func changesOfFeed(ctx context.Context, db bun.IDB, from, to int64) (news feedChange, err error) {
	news.companies = map[uuid.UUID]bool{}
	err = pg.InTx(ctx, db, func(ctx context.Context, tx bun.Tx) error {
		if err := planByIndex(ctx, tx); err != nil {
			return err
		}
		rows, err := pg.Direct(tx).QueryContext(ctx, feedNewsSQL, from, to, feedNews)
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }() // rows.Err reports its error
		total := 0
		for rows.Next() {
			var company uuid.NullUUID
			var n int
			if err := rows.Scan(&company, &n); err != nil {
				return err
			}
			news.companies[company.UUID] = true
			total += n
		}
		news.all = total == feedNews
		return rows.Err()
	})
	if err != nil {
		return news, fmt.Errorf("look for new events: %w", err)
	}
	return news, nil
}

// feedNewsSQL: $1 and $2 are the positions to begin at and to end before, $3 how many to look at.
const feedNewsSQL = `
SELECT company_id, count(*)::int FROM (
  SELECT company_id FROM events
  WHERE (position, id) > ($1::bigint, '00000000-0000-0000-0000-000000000000')
    AND (position, id) < ($2::bigint, '00000000-0000-0000-0000-000000000000')
  ORDER BY position, id LIMIT $3
) e GROUP BY company_id`
