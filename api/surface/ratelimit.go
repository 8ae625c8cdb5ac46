package surface

import (
	"context"
	"math"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/db"
)

// rateLimiter counts each key's requests in two windows, for all API processes together: each process claims a few
// requests at a time from PostgreSQL (db.ClaimRequests) and counts them down. Requests that one process has claimed and
// not used are missing for the others until the window ends, so it claims a hundredth of the limit at most.
type rateLimiter struct {
	db bun.IDB

	mu    sync.Mutex
	keys  map[uuid.UUID]*keyWindows
	swept time.Time
}

const (
	// claimShare is the share of the limit that is claimed at once.
	claimShare = 100
	// claimWithin bounds how long a request waits for a claim, after which it passes.
	claimWithin = 2 * time.Second
	// sweepEvery is how often ended windows are dropped.
	sweepEvery = 10 * time.Minute
)

func newRateLimiter(d bun.IDB) *rateLimiter {
	return &rateLimiter{db: d, keys: map[uuid.UUID]*keyWindows{}, swept: time.Now()}
}

// window is one of the two; name is the suffix of its headers.
type window struct {
	name   string
	period time.Duration
	limit  func(Principal) int
}

var windows = [2]window{
	{"Minute", time.Minute, func(p Principal) int { return p.Key.RatePerMinute }},
	{"Hour", time.Hour, func(p Principal) int { return p.Key.RatePerHour }},
}

// keyWindows are the current windows of one key.
type keyWindows struct {
	mu      sync.Mutex
	windows [len(windows)]keyWindow
}

// keyWindow is a window as this process knows it. used are the requests that all processes have claimed, left those
// that this one has claimed and not used.
type keyWindow struct {
	ends       time.Time
	reset      int64
	used, left int64
}

// Limited describes an exceeded rate limit.
type Limited struct {
	// Limit is the number of requests per window; Reset is when the next window begins, in Unix seconds.
	Limit, Reset int64
	// RetryAfter is the number of seconds until Reset, at least one.
	RetryAfter int64
}

func (l *Limited) show(c *gin.Context) { c.Header("Retry-After", strconv.FormatInt(l.RetryAfter, 10)) }

func tooMany(over *Limited) *Error {
	return &Error{
		Status: http.StatusTooManyRequests, Code: CodeRateLimited, Message: "Rate limit exceeded", Limited: over,
	}
}

// limitRate counts the request in both windows, reports them in six headers and refuses a request above a limit. If the
// limiter fails, the request passes, so that the API stays available (reference §2.9).
func (s *Core) limitRate(c *gin.Context) error {
	if _, is := insiderOf(c.Request.Context()); is {
		return nil
	}
	over := s.countBudgets(c, true)
	if over == nil {
		return nil
	}
	if Caller(c).remembered { // its limit may have been raised since it was read
		if err := s.Authenticate(c); err != nil {
			return err
		}
		if over = s.countBudgets(c, true); over == nil {
			return nil
		}
	}
	return tooMany(over)
}

// countRequest reports both windows in the headers and returns the exceeded one, or nil. With take it counts the
// request, unless it is refused; otherwise the request has been counted.
func (s *Core) countRequest(c *gin.Context, p Principal, take bool) (over *Limited) {
	now := time.Now()
	k := s.limiter.of(p.Key.ID, now)
	k.mu.Lock()
	defer k.mu.Unlock()
	var failed [len(windows)]bool
	for i, w := range windows {
		limit, state := int64(w.limit(p)), &k.windows[i]
		if !now.Before(state.ends) {
			*state = keyWindow{}
		}
		if take && state.left == 0 && state.used < limit {
			if err := s.limiter.claim(c.Request.Context(), p.Key.ID, w, limit, state); err != nil {
				s.Logger.WarnContext(c.Request.Context(), "rate limiter failed", "error", err)
				failed[i] = true
			}
		}
		if !failed[i] && state.exceeds(limit, take) {
			wait := int64(math.Ceil(time.Until(state.ends).Seconds()))
			over = &Limited{Limit: limit, Reset: state.reset, RetryAfter: max(1, wait)}
		}
	}
	for i, w := range windows {
		if failed[i] {
			continue
		}
		state := &k.windows[i]
		if take && over == nil {
			state.left--
		}
		limit := int64(w.limit(p))
		showWindow(c, w.name, limit, max(0, limit-state.used+state.left), state.reset)
	}
	return over
}

// exceeds reports whether the request must be refused.
func (w *keyWindow) exceeds(limit int64, take bool) bool {
	counted := w.used - w.left
	if take {
		return w.left == 0 || counted >= limit
	}
	return counted > limit
}

// claim claims requests for this process, or leaves the window exhausted.
func (l *rateLimiter) claim(ctx context.Context, key uuid.UUID, w window, limit int64, state *keyWindow) error {
	ctx, cancel := context.WithTimeout(ctx, claimWithin)
	defer cancel()
	for n := max(1, limit/claimShare); ; n = 1 {
		at := time.Now()
		got, err := db.ClaimRequests(ctx, l.db, db.RequestClaim{
			Key: key, Window: w.name, Period: w.period, N: n, Limit: limit,
		})
		if err != nil {
			return err
		}
		state.ends, state.reset, state.used = at.Add(got.In), got.Ends.Unix(), got.Used
		if got.Granted {
			state.left += n
			return nil
		}
		if n == 1 {
			return nil
		}
	}
}

// of returns the windows of a key, and drops those that have ended now and then.
func (l *rateLimiter) of(key uuid.UUID, now time.Time) *keyWindows {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Sub(l.swept) > sweepEvery {
		l.swept = now
		l.sweep(now)
	}
	k := l.keys[key]
	if k == nil {
		k = new(keyWindows)
		l.keys[key] = k
	}
	return k
}

func (l *rateLimiter) sweep(now time.Time) {
	for id, k := range l.keys {
		if k.mu.TryLock() {
			if ended := !now.Before(k.windows[0].ends) && !now.Before(k.windows[1].ends); ended {
				delete(l.keys, id)
			}
			k.mu.Unlock()
		}
	}
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), claimWithin)
		defer cancel()
		_ = db.DropRequestWindows(ctx, l.db) // the next sweep does
	}()
}
