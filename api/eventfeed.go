package api

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"math"
	"net/http"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"greenroom/activities/webhook"
	"greenroom/activities/webhook/profiles"
	"greenroom/api/surface"
	"greenroom/db/delivery"
)

const (
	// maxWait limits ?wait=, in seconds: shorter than proxies keep a silent connection.
	maxWait = 20
	// waitersTotal and waitersEach limit the requests of a process, and of an owner, that wait for events at once.
	waitersTotal, waitersEach = 1000, 50
	// waiterTurn is how long a request waits to be one of them.
	waiterTurn = 100 * time.Millisecond
	// feedAgain is how often a waiting request reads the feed although it was not woken.
	feedAgain = 5 * time.Second
	// feedWeight is the memory of a page that is read and written, in bytes.
	feedWeight = 4 << 20
	// maxFeedTypes limits ?types=.
	maxFeedTypes = 50
)

// listEvents is the feed of events. A request with ?wait= that finds nothing is answered with the first event, with an
// empty page after that time, or when the client hangs up or the process stops.
func (s *server) listEvents(c *gin.Context) error {
	q, wait, err := feedQuery(c)
	if err != nil {
		return err
	}
	if wait == 0 {
		_, err := s.answerFeed(c, &q, true)
		return err
	}
	release, got := s.waiters.Acquire(c.Request.Context(), surface.Owner(c), 1)
	if !got {
		return surface.Busy("Too many requests wait for events; try again")
	}
	defer release()
	reader := s.feed.Enter(q.Company)
	defer reader.Leave()
	end := time.After(wait)
	for last := false; ; {
		if answered, err := s.answerFeed(c, &q, last); answered || err != nil {
			return err
		}
		select {
		case <-reader.Woken():
		case <-time.After(feedAgain):
		case <-end:
			last = true
		case <-surface.Hangup(c):
			last = true
		case <-s.stopping:
			last = true
		}
	}
}

// answerFeed answers with the next page. Unless it is the last try, an empty page is not answered and moves the query
// on.
func (s *server) answerFeed(c *gin.Context, q *delivery.FeedQuery, last bool) (answered bool, err error) {
	release, err := s.Reserve(c, feedWeight)
	if err != nil {
		return false, err
	}
	defer release()
	p, err := delivery.ReadFeed(c.Request.Context(), s.DB, *q)
	var gap *delivery.FeedGapError
	if errors.As(err, &gap) {
		return false, feedGap(gap)
	}
	if err != nil {
		return false, err
	}
	if q.After = p.Next; len(p.Events) == 0 && !p.More && !last {
		return false, nil
	}
	return true, ok(c, http.StatusOK, gin.H{
		"data": surface.Mapped(p.Events, showEvent), "nextCursor": feedCursorText(p.Next), "hasMore": p.More,
		"heldSince": surface.Maybe(p.HeldSince),
	})
}

func feedQuery(c *gin.Context) (q delivery.FeedQuery, wait time.Duration, err error) {
	scope, err := surface.ScopeOf(c)
	if err != nil {
		return q, 0, err
	}
	q.Company = scope.Company
	if q.Types, err = queryTypes(c); err != nil {
		return q, 0, err
	}
	if q.After, err = queryAfter(c); err != nil {
		return q, 0, err
	}
	limit, err := surface.QueryInt(c, "limit", surface.DefaultLimit, surface.MaxLimit)
	if err != nil {
		return q, 0, err
	}
	q.Limit = int(limit)
	seconds, err := surface.QueryInt(c, "wait", 0, maxWait)
	return q, time.Duration(seconds) * time.Second, err
}

// queryTypes reads ?types=: event types of the catalogue or custom ones, or wildcards, separated by commas.
func queryTypes(c *gin.Context) ([]string, error) {
	raw, sent := c.GetQuery("types")
	if !sent {
		return nil, nil
	}
	types := strings.Split(raw, ",")
	if len(types) > maxFeedTypes {
		return nil, surface.Invalid("types", "types must be at most 50 event types")
	}
	for _, t := range types {
		if !profiles.Known(t) && !isCustomTypeName(t) && !webhook.IsWildcard(t) {
			e := surface.Invalid("types", "types must be event types, separated by commas")
			e.Details["provided"] = surface.Clip(t)
			return nil, e
		}
	}
	return types, nil
}

// feedCursorVersion is the first byte of a cursor.
const feedCursorVersion = 1

// feedCursorText is the cursor for clients, who must not interpret it.
func feedCursorText(at delivery.FeedCursor) string {
	b := []byte{feedCursorVersion}
	b = binary.BigEndian.AppendUint64(b, uint64(at.Position))
	b = append(b, at.ID[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(at.Missed))
	return base64.RawURLEncoding.EncodeToString(b)
}

func queryAfter(c *gin.Context) (at delivery.FeedCursor, err error) {
	raw, sent := c.GetQuery("after")
	if !sent {
		return at, nil
	}
	b, err := base64.RawURLEncoding.DecodeString(raw)
	if err == nil && len(b) == 33 && b[0] == feedCursorVersion {
		position, missed := binary.BigEndian.Uint64(b[1:]), binary.BigEndian.Uint64(b[25:])
		if position <= math.MaxInt64 && missed <= math.MaxInt64 {
			at = delivery.FeedCursor{Position: int64(position), ID: uuid.UUID(b[9:25]), Missed: int64(missed)}
		}
	}
	if feedCursorText(at) != raw {
		return delivery.FeedCursor{}, surface.Invalid("after", "after must be a nextCursor of an earlier answer")
	}
	return at, nil
}

// feedGap refuses a cursor whose following events are no longer stored. The client continues with details.nextCursor
// and knows that it has missed events.
func feedGap(gap *delivery.FeedGapError) *surface.Error {
	message := "Events after this cursor may have been removed by retention; continue with details.nextCursor"
	if gap.Restored {
		message = "The database was restored to a state before this cursor; continue with details.nextCursor"
	}
	return &surface.Error{
		Status: http.StatusGone, Code: surface.CodeGap, Message: message,
		Details: surface.Details{"nextCursor": feedCursorText(gap.Next)},
	}
}
