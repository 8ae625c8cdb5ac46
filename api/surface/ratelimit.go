package surface

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/ulule/limiter/v3"
	"github.com/ulule/limiter/v3/drivers/store/memory"
)

// rateLimiter counts each key's requests in two windows. It counts per process: several API processes each allow the
// full limit.
type rateLimiter struct{ store limiter.Store }

func newRateLimiter() *rateLimiter {
	return &rateLimiter{store: memory.NewStoreWithOptions(limiter.StoreOptions{
		Prefix: "api", CleanUpInterval: limiter.DefaultCleanUpInterval,
	})}
}

// window is one of the two; name is the suffix of its headers.
type window struct {
	name   string
	period time.Duration
	limit  func(Principal) int
}

var windows = []window{
	{"Minute", time.Minute, func(p Principal) int { return p.Key.RatePerMinute }},
	{"Hour", time.Hour, func(p Principal) int { return p.Key.RatePerHour }},
}

// Limited describes an exceeded rate limit.
type Limited struct {
	// Limit is the number of requests per window; Reset is when the next window begins, in Unix seconds.
	Limit, Reset int64
	// RetryAfter is the number of seconds until Reset, at least one.
	RetryAfter int64
}

func (l *Limited) show(c *gin.Context) { c.Header("Retry-After", strconv.FormatInt(l.RetryAfter, 10)) }

func tooMany(over *limiter.Context) *Error {
	return &Error{
		Status: http.StatusTooManyRequests, Code: CodeRateLimited, Message: "Rate limit exceeded",
		Limited: &Limited{Limit: over.Limit, Reset: over.Reset, RetryAfter: max(over.Reset-time.Now().Unix(), 1)},
	}
}

// limitRate counts the request in both windows, reports them in six headers and refuses a request above a limit. If the
// limiter fails, the request passes, so that the API stays available (reference §2.9).
func (s *Core) limitRate(c *gin.Context) error {
	over := s.countRequest(c, s.limiter.store.Get)
	if over == nil {
		return nil
	}
	if Caller(c).remembered { // its limit may have been raised since it was read
		if err := s.Authenticate(c); err != nil {
			return err
		}
		if over = s.countRequest(c, s.limiter.store.Peek); over == nil {
			return nil
		}
	}
	return tooMany(over)
}

// countRequest reports both windows in the headers and returns the exceeded one, or nil. count is the store's Get,
// which counts the request, or its Peek for a request that has been counted.
func (s *Core) countRequest(
	c *gin.Context,
	count func(context.Context, string, limiter.Rate) (limiter.Context, error),
) (over *limiter.Context) {
	p := Caller(c)
	for _, w := range windows {
		rate := limiter.Rate{Period: w.period, Limit: int64(w.limit(p))}
		now, err := count(c.Request.Context(), w.name+":"+p.Key.ID.String(), rate)
		if err != nil {
			s.Logger.WarnContext(c.Request.Context(), "rate limiter failed", "error", err)
			continue
		}
		c.Header("X-RateLimit-Limit-"+w.name, strconv.FormatInt(now.Limit, 10))
		c.Header("X-RateLimit-Remaining-"+w.name, strconv.FormatInt(now.Remaining, 10))
		c.Header("X-RateLimit-Reset-"+w.name, strconv.FormatInt(now.Reset, 10))
		if now.Reached {
			over = &now
		}
	}
	return over
}
