package interviewsuite

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/ulule/limiter/v3"
	"github.com/ulule/limiter/v3/drivers/store/memory"

	"greenroom/api/surface"
)

// What may be tried without a key, in this process. Log-ins: enough for a client that logs in anew for each of its
// jobs, too few to guess a password of eight characters, or to keep the processors busy with comparing.
var (
	perUser    = limiter.Rate{Period: 15 * time.Minute, Limit: 20} // that failed
	perAddress = limiter.Rate{Period: time.Minute, Limit: 60}
	// perInterview is for the uploads of one candidate: each question of a long interview, with second thoughts.
	perInterview = limiter.Rate{Period: time.Hour, Limit: 60}
)

type limits struct{ store limiter.Store }

func newLimits() *limits {
	return &limits{
		memory.NewStoreWithOptions(limiter.StoreOptions{Prefix: "suite", CleanUpInterval: limiter.DefaultCleanUpInterval}),
	}
}

// logIn refuses an attempt that is one too many from that address or for that user, whether or not there is such a
// user. One that its address may not make does not count for the user: nobody is locked out by it.
func (l *limits) logIn(ctx context.Context, address, company, username string) error {
	if err := l.count(ctx, "address:"+address, perAddress); err != nil {
		return err
	}
	return l.count(ctx, userKey(company, username), perUser)
}

// upload refuses one that is too much for a candidate.
func (l *limits) upload(ctx context.Context, interview uuid.UUID) error {
	return l.count(ctx, "interview:"+interview.String(), perInterview)
}

func (l *limits) count(ctx context.Context, key string, rate limiter.Rate) error {
	now, err := l.store.Get(ctx, key, rate)
	if err != nil || !now.Reached {
		return err
	}
	return &surface.Error{
		Status: http.StatusTooManyRequests, Code: surface.CodeRateLimited, Message: "Too many attempts",
		Limited: &surface.Limited{Limit: now.Limit, Reset: now.Reset, RetryAfter: max(now.Reset-time.Now().Unix(), 1)},
	}
}

// forget starts a user's count anew. A fault of the limiter is none of the request: the log-in has succeeded.
func (l *limits) forget(ctx context.Context, company, username string) {
	_, _ = l.store.Reset(ctx, userKey(company, username), perUser)
}

func userKey(company, username string) string {
	return "user:" + strings.ToLower(company) + "\x00" + strings.ToLower(username)
}
