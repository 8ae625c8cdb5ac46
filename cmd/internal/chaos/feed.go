package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"greenroom/cmd/internal/testbed"
)

// feedReader follows GET /events from the beginning, as a customer's program does that polls instead of receiving
// webhooks. It asks the API processes in turn and keeps its cursor when a request fails.
type feedReader struct {
	urls []string
	key  string
	// limit and wait are the parameters of its requests. wait 0: it does not wait for events.
	limit, wait int

	mu     sync.Mutex
	seen   []uuid.UUID
	gaps   []string // answers that refused the cursor: events would be missing
	atEnd  bool     // the last page was empty and the last one
	finish bool     // stop at the end of the feed
}

const (
	// feedPause is the pause after a failed request, and after an empty page.
	feedPause = 300 * time.Millisecond
	// feedWait is ?wait= of the reader that waits, in seconds.
	feedWait = 10
)

// run reads until ctx ends, or until the end of the feed once stopAtEnd was called.
func (f *feedReader) run(ctx context.Context) {
	after := ""
	for n := 0; ctx.Err() == nil; n++ {
		finish := f.finishing()
		next, empty, err := f.read(ctx, f.urls[n%len(f.urls)], after)
		if err == nil {
			after = next
		}
		if err == nil && empty && finish {
			f.end()
			return
		}
		if err != nil || empty {
			_ = testbed.Sleep(ctx, feedPause)
		}
	}
}

func (f *feedReader) stopAtEnd() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.finish = true
}

func (f *feedReader) finishing() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.finish
}

func (f *feedReader) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.atEnd = true
}

// read reads one page and returns the next cursor. empty: the page had no events, ended at the end of the feed, and no
// event was held back.
func (f *feedReader) read(ctx context.Context, url, after string) (next string, empty bool, err error) {
	path := fmt.Sprintf("/events?limit=%d", f.limit)
	if f.wait > 0 {
		path += fmt.Sprintf("&wait=%d", f.wait)
	}
	if after != "" {
		path += "&after=" + after
	}
	ctx, cancel := context.WithTimeout(ctx, postLimit+feedWait*time.Second)
	defer cancel()
	status, answer, err := get(ctx, url, f.key, path)
	if err != nil {
		return "", false, err
	}
	if status == http.StatusGone {
		f.mu.Lock()
		f.gaps = append(f.gaps[:min(len(f.gaps), listed)], fmt.Sprintf("%.300s", answer))
		f.mu.Unlock()
	}
	if status != http.StatusOK {
		return "", false, fmt.Errorf("read the feed: status %d: %.300s", status, answer)
	}
	var page struct {
		Data struct {
			Data       []struct{ ID uuid.UUID }
			NextCursor string
			HasMore    bool
			HeldSince  *string
		}
	}
	if err := json.Unmarshal(answer, &page); err != nil {
		return "", false, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, e := range page.Data.Data {
		f.seen = append(f.seen, e.ID)
	}
	return page.Data.NextCursor, len(page.Data.Data) == 0 && !page.Data.HasMore && page.Data.HeldSince == nil, nil
}

// FeedCheck is what a reader of the feed saw, compared with the events of the database.
type FeedCheck struct {
	Reader string `json:"reader"`
	Events int    `json:"events"` // that it saw
	// Missed are events of the database that it did not see, Unaccepted accepted events that the database does not have.
	Missed     int      `json:"missed"`
	Unaccepted int      `json:"unaccepted"`
	Twice      int      `json:"twice"`
	Disorder   int      `json:"disorder"` // places at which its order was not that of the feed
	Gaps       []string `json:"gaps"`
	Ended      bool     `json:"ended"` // it reached the end of the feed
}

func (c *FeedCheck) broken() bool {
	return c.Missed+c.Unaccepted+c.Twice+c.Disorder+len(c.Gaps) > 0 || !c.Ended
}

// checkFeed compares what a reader saw with the order of the database, and with the accepted events.
func checkFeed(f *feedReader, stored, accepted []uuid.UUID) FeedCheck {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := FeedCheck{
		Reader: fmt.Sprintf("limit=%d wait=%d", f.limit, f.wait), Events: len(f.seen), Ended: f.atEnd,
		Gaps: slices.Clone(f.gaps),
	}
	place := make(map[uuid.UUID]int, len(stored))
	for i, id := range stored {
		place[id] = i
	}
	for _, id := range accepted {
		if _, is := place[id]; !is {
			c.Unaccepted++
		}
	}
	times := make(map[uuid.UUID]int, len(f.seen))
	before := -1
	for _, id := range f.seen {
		if times[id]++; times[id] > 1 {
			c.Twice++
		}
		at, is := place[id]
		if !is || at < before {
			c.Disorder++
			continue
		}
		before = at
	}
	for _, id := range stored {
		if times[id] == 0 {
			c.Missed++
		}
	}
	return c
}
