package surface

import (
	"math"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/ulule/limiter/v3"
	"github.com/ulule/limiter/v3/drivers/store/memory"
)

// newNetworkCounts counts requests in this process.
func newNetworkCounts() limiter.Store {
	return memory.NewStoreWithOptions(limiter.StoreOptions{
		Prefix: "network", CleanUpInterval: limiter.DefaultCleanUpInterval,
	})
}

// limitNetwork refuses requests to links without a key above the limit of the client's network.
func (s *Core) limitNetwork(c *gin.Context) error {
	rate := limiter.Rate{Period: time.Minute, Limit: int64(s.PublicPerMinute)}
	now, err := s.networks.Get(c.Request.Context(), Network(c.ClientIP()), rate)
	if err != nil || !now.Reached {
		return err
	}
	return tooMany(&Limited{
		Limit: now.Limit, Reset: now.Reset, RetryAfter: max(now.Reset-time.Now().Unix(), 1),
	})
}

// RateLimited refuses a request above a limit that has no window; limit is the number that is allowed.
func RateLimited(message string, limit int64, retryAfter time.Duration) *Error {
	seconds := max(int64(math.Ceil(retryAfter.Seconds())), 1)
	return &Error{
		Status: http.StatusTooManyRequests, Code: CodeRateLimited, Message: message,
		Limited: &Limited{Limit: limit, Reset: time.Now().Unix() + seconds, RetryAfter: seconds},
	}
}
