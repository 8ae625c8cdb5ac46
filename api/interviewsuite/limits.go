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

// Limits of requests without an API key, counted per process. The log-in limits allow a client that logs in for each of
// its jobs. They are too low to guess a password of eight characters or to exhaust the CPU with hashing.
var (
	perUser    = limiter.Rate{Period: 15 * time.Minute, Limit: 20} // failed log-ins
	perAddress = limiter.Rate{Period: time.Minute, Limit: 60}
	// perInterview bounds the uploads of one candidate: each question of a long interview, answered more than once.
	perInterview = limiter.Rate{Period: time.Hour, Limit: 60}
)

type limits struct{ store limiter.Store }

func newLimits() *limits {
	return &limits{
		memory.NewStoreWithOptions(limiter.StoreOptions{Prefix: "suite", CleanUpInterval: limiter.DefaultCleanUpInterval}),
	}
}

// logIn refuses an attempt above the limit of the address or of the user, whether or not the user exists. An attempt
// that the address limit refuses does not count for the user, so one address cannot lock a user out.
func (l *limits) logIn(ctx context.Context, address, company, username string) error {
	if err := l.count(ctx, "address:"+address, perAddress); err != nil {
		return err
	}
	return l.count(ctx, userKey(company, username), perUser)
}

// upload refuses an upload above the candidate's limit.
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

// forget resets a user's count. An error of the limiter is ignored, because the log-in has succeeded.
func (l *limits) forget(ctx context.Context, company, username string) {
	_, _ = l.store.Reset(ctx, userKey(company, username), perUser)
}

func userKey(company, username string) string {
	return "user:" + strings.ToLower(company) + "\x00" + strings.ToLower(username)
}
