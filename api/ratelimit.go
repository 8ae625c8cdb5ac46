package api

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/ulule/limiter/v3"
	"github.com/ulule/limiter/v3/drivers/store/memory"
)

// rateLimiter counts each key's requests in two windows, in this process: several API processes each allow the full limit.
type rateLimiter struct{ store limiter.Store }

func newRateLimiter() *rateLimiter {
	return &rateLimiter{store: memory.NewStoreWithOptions(limiter.StoreOptions{
		Prefix: "api", CleanUpInterval: limiter.DefaultCleanUpInterval,
	})}
}

// window is one of the two; its name is the end of its headers' names.
type window struct {
	name   string
	period time.Duration
	limit  func(principal) int
}

var windows = []window{
	{"Minute", time.Minute, func(p principal) int { return p.key.RatePerMinute }},
	{"Hour", time.Hour, func(p principal) int { return p.key.RatePerHour }},
}

// limited is the 429 body of the reference (§2.9), which is not in the envelope.
type limited struct {
	StatusCode int    `json:"statusCode"`
	Message    string `json:"message"`
	Error      string `json:"error"`
	RetryAfter int64  `json:"retryAfter"`
	Limit      int64  `json:"limit"`
	Remaining  int64  `json:"remaining"`
	Reset      int64  `json:"reset"`
}

// rateLimited is the refusal of a request that is too much; its answer is not in the envelope.
type rateLimited struct{ over *limiter.Context }

func (e *rateLimited) Error() string { return "rate limit exceeded" }

// limitRate counts the request in both windows, shows where they stand in six headers and refuses what is too much. A fault
// of the limiter lets the request pass: the API stays available (reference §2.9).
func (s *server) limitRate(c *gin.Context) error {
	over := s.countRequest(c, s.limiter.store.Get)
	if over == nil {
		return nil
	}
	if caller(c).remembered { // its limit may have been raised since
		if err := s.authenticate(c); err != nil {
			return err
		}
		if over = s.countRequest(c, s.limiter.store.Peek); over == nil {
			return nil
		}
	}
	return &rateLimited{over}
}

// countRequest shows both windows in the headers and returns the one that is exceeded. count is the store's Get, which counts
// the request, or its Peek for one that was counted already.
func (s *server) countRequest(c *gin.Context, count func(context.Context, string, limiter.Rate) (limiter.Context, error)) (over *limiter.Context) {
	p := caller(c)
	for _, w := range windows {
		rate := limiter.Rate{Period: w.period, Limit: int64(w.limit(p))}
		now, err := count(c.Request.Context(), w.name+":"+p.key.ID.String(), rate)
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

func (e *rateLimited) answer(c *gin.Context) {
	wait := max(e.over.Reset-time.Now().Unix(), 1)
	c.Header("Retry-After", strconv.FormatInt(wait, 10))
	c.JSON(http.StatusTooManyRequests, limited{
		StatusCode: http.StatusTooManyRequests, Message: "Rate limit exceeded", Error: "Too Many Requests",
		RetryAfter: wait, Limit: e.over.Limit, Remaining: 0, Reset: e.over.Reset,
	})
}
