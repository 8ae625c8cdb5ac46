package interviewsuite

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/ulule/limiter/v3"
	"github.com/ulule/limiter/v3/drivers/store/memory"

	"greenroom/api/surface"
)

// How many log-ins may be tried, in this process: enough for a client that logs in anew for each of its jobs, too few to guess a
// password of eight characters, or to keep the processors busy with comparing.
var (
	perUser    = limiter.Rate{Period: 15 * time.Minute, Limit: 20} // that failed
	perAddress = limiter.Rate{Period: time.Minute, Limit: 60}
)

type logInLimits struct{ store limiter.Store }

func newLogInLimits() *logInLimits {
	return &logInLimits{memory.NewStoreWithOptions(limiter.StoreOptions{Prefix: "login", CleanUpInterval: limiter.DefaultCleanUpInterval})}
}

// count refuses an attempt that is one too many from that address or for that user, whether or not there is such a user.
func (l *logInLimits) count(ctx context.Context, address, company, username string) error {
	for key, rate := range map[string]limiter.Rate{"address:" + address: perAddress, userKey(company, username): perUser} {
		now, err := l.store.Get(ctx, key, rate)
		if err != nil {
			return err
		}
		if now.Reached {
			return &surface.Error{
				Status: http.StatusTooManyRequests, Code: surface.CodeRateLimited, Message: "Too many attempts to log in",
				Limited: &surface.Limited{Limit: now.Limit, Reset: now.Reset, RetryAfter: max(now.Reset-time.Now().Unix(), 1)},
			}
		}
	}
	return nil
}

// forget starts a user's count anew. A fault of the limiter is none of the request: the log-in has succeeded.
func (l *logInLimits) forget(ctx context.Context, company, username string) {
	_, _ = l.store.Reset(ctx, userKey(company, username), perUser)
}

func userKey(company, username string) string {
	return "user:" + strings.ToLower(company) + "\x00" + strings.ToLower(username)
}
