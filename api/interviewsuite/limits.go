package interviewsuite

import (
	"context"
	"net/http"
	"runtime"
	"time"

	"github.com/google/uuid"
	"github.com/ulule/limiter/v3"
	"github.com/ulule/limiter/v3/drivers/store/memory"

	"greenroom/api/surface"
)

// Limits of requests without an API key, counted per process. Attempts to log in are counted for each user and network,
// so that one caller neither locks a user out elsewhere nor others who share its network. They are too low to guess a
// password of eight characters.
var (
	perUser = limiter.Rate{Period: 15 * time.Minute, Limit: 20} // of one user from one network, reset by a success
	// everywhere bounds the attempts on one user from all networks. A network from which the user has logged in within
	// knownFor is exempt, so attempts from elsewhere do not lock the user out.
	everywhere = limiter.Rate{Period: time.Hour, Limit: 200}
	knownFor   = limiter.Rate{Period: 30 * 24 * time.Hour, Limit: 1}
	// perNetwork failures of one network, of whichever users, do not refuse its further attempts but slow them down: they
	// are compared one after the other.
	perNetwork = limiter.Rate{Period: time.Minute, Limit: 60}
	// perInterview bounds the uploads of one candidate: each question of a long interview, answered more than once.
	perInterview = limiter.Rate{Period: time.Hour, Limit: 60}
)

// hashWait is how long an attempt waits for its turn to compare a password, which takes some 50 ms of CPU time.
const hashWait = 10 * time.Second

type limits struct {
	store limiter.Store
	// quick and slow bound the passwords that are compared at a time: half of the cores, and one core for the networks
	// with too many failures.
	quick, slow chan struct{}
}

func newLimits() *limits {
	return &limits{
		store: memory.NewStoreWithOptions(
			limiter.StoreOptions{Prefix: "suite", CleanUpInterval: limiter.DefaultCleanUpInterval},
		),
		quick: make(chan struct{}, max(runtime.GOMAXPROCS(0)/2, 1)), slow: make(chan struct{}, 1),
	}
}

// attempt counts an attempt to log in and refuses one above a limit, whether or not the user exists.
func (l *limits) attempt(ctx context.Context, user, network string) error {
	if err := l.count(ctx, "user:"+user+"\x00"+network, perUser); err != nil {
		return err
	}
	if l.knows(ctx, user, network) {
		return nil
	}
	return l.count(ctx, "everywhere:"+user, everywhere)
}

// knows reports whether the user has logged in from the network.
func (l *limits) knows(ctx context.Context, user, network string) bool {
	known, err := l.store.Peek(ctx, knownKey(user, network), knownFor)
	return err == nil && known.Remaining == 0
}

func knownKey(user, network string) string { return "known:" + user + "\x00" + network }

// hash waits for the turn to compare a password. The caller must call done. An attempt is counted only when it has its
// turn, so a flood of attempts does not fill the memory with counts.
func (l *limits) hash(ctx context.Context, user, network string) (done func(), err error) {
	lane := l.quick
	now, err := l.store.Peek(ctx, "network:"+network, perNetwork)
	if err == nil && now.Remaining == 0 && !l.knows(ctx, user, network) {
		lane = l.slow
	}
	timer := time.NewTimer(hashWait)
	defer timer.Stop()
	select {
	case lane <- struct{}{}:
		return func() { <-lane }, nil
	case <-timer.C:
		return nil, tooMany(limiter.Context{Limit: perNetwork.Limit, Reset: time.Now().Add(hashWait).Unix()})
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// failed counts a wrong password for its network.
func (l *limits) failed(ctx context.Context, network string) {
	_, _ = l.store.Get(ctx, "network:"+network, perNetwork)
}

// succeeded resets the count of the user and the network and remembers the network. An error of the limiter is ignored,
// because the password was right.
func (l *limits) succeeded(ctx context.Context, user, network string) {
	_, _ = l.store.Reset(ctx, "user:"+user+"\x00"+network, perUser)
	_, _ = l.store.Reset(ctx, knownKey(user, network), knownFor) // begins its period again
	_, _ = l.store.Get(ctx, knownKey(user, network), knownFor)
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
	return tooMany(now)
}

func tooMany(now limiter.Context) error {
	return &surface.Error{
		Status: http.StatusTooManyRequests, Code: surface.CodeRateLimited, Message: "Too many attempts",
		Limited: &surface.Limited{Limit: now.Limit, Reset: now.Reset, RetryAfter: max(now.Reset-time.Now().Unix(), 1)},
	}
}
